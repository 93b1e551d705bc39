"""The call that is being served: who wants what, from where. Threads that work on it know it, too."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from getpass import getuser
from secrets import token_hex

log = logging.getLogger(__name__)

HEADER = "x-request-id"
"""Tells the caller the call's id."""
GOOD = ("OK", "CANCELLED")
SERVER = "server"
"""Who acts when nobody called: the server by itself."""
UNKNOWN = "unknown"
"""Somebody who has not shown a token (yet)."""


@dataclass(frozen=True)
class Call:
    """One call; its id is in every answer, every log line and every audit entry that it causes."""

    id: str = ""
    who: str = SERVER
    address: str = ""
    what: str = ""
    """Method and path, or the gRPC method."""


_current: ContextVar[Call] = ContextVar("call", default=Call())  # noqa: B039  # frozen


def current() -> Call:
    """The call being served here; the server's own work when there is none."""
    return _current.get()


def begin(what: str, address: str) -> Call:
    """A new call of somebody unknown, from now on the current one of this task."""
    call = Call(token_hex(8), UNKNOWN, address, what)
    _current.set(call)
    return call


def known_as(node: str) -> None:
    """The caller of the current call turned out to be this node."""
    _current.set(replace(current(), who=f"node {node}"))


@contextmanager
def by_owner() -> Iterator[None]:
    """Inside, whatever happens is done by the server's owner at the command line."""
    reset = _current.set(Call(who=f"owner {_user()}", address="local"))
    try:
        yield
    finally:
        _current.reset(reset)


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return UNKNOWN


@dataclass(frozen=True)
class Answered:
    """A call that came to its end."""

    call: Call
    method: str
    """The gRPC method, or method and route: a small set of words."""
    code: str
    """A gRPC code's name or an HTTP status."""
    seconds: float
    sent_bytes: int


OnAnswer = Callable[[Answered], None]


def log_answer(answered: Answered) -> None:
    """A line about the call: failed ones always, others for who wants to see everything."""
    level = logging.DEBUG if answered.code in GOOD or answered.code < "400" else logging.INFO
    log.log(
        level,
        "%s: %s in %.3f s for %s at %s",
        *(answered.call.what, answered.code, answered.seconds),
        *(current().who, answered.call.address),
    )
