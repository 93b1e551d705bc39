"""Every error a caller can act on.

FedshowError            something failed (exit code 1)
├── InvalidInput        the caller's value is wrong; says which, and what would be right (exit code 2)
│   ├── RefusedConcept  a concept file that breaks the format or the base's limits
│   ├── BaseMismatch    made for another base model
│   └── Absent          a card, folder or file that is not here, or not now
├── NotFound            no such concept, release or file
├── Forbidden           no valid token, or not allowed with this one
├── Unreachable         the other side does not answer; worth another try
│   └── Exhausted       it answers, but has no room or time for this now; says when to try again
├── Damaged             bytes that do not have the promised digest
└── RefusedRelease      a release that its server did not sign, or with what no release may hold
"""

from typing import Self


class FedshowError(Exception):
    """Base of all errors that fedshow raises on purpose; the message is written for people."""

    exit_code = 1
    next_step = ""

    def __str__(self) -> str:
        """The message in one printable line, whatever it quotes of what came from outside."""
        text = super().__str__()
        return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)

    def then(self, next_step: str) -> Self:
        """The same error, which now knows what to type next; the program says it after the message."""
        self.next_step = next_step
        return self


class InvalidInput(FedshowError):
    """The value refused and the limit it breaks."""

    exit_code = 2


class RefusedConcept(InvalidInput):
    """A concept file that may not be used, and why."""


class BaseMismatch(InvalidInput):
    """A concept or release made for another base model."""


class Absent(InvalidInput):
    """A card, folder or file that this machine does not have; what is not mounted yet may come."""


class NotFound(FedshowError):
    """The thing asked for does not exist here."""

    exit_code = 2


class Forbidden(FedshowError):
    """The caller is unknown, revoked or not allowed to do this."""


class Unreachable(FedshowError):
    """The other side does not answer now."""


class Exhausted(Unreachable):
    """A limit is reached that will not last: rates, calls at once, room on the disk."""

    def __init__(self, message: str = "", retry_seconds: float = 60.0) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


class Damaged(FedshowError):
    """Bytes arrived or lie on disk that are not what was promised."""


class RefusedRelease(FedshowError):
    """Not signed by its server, or with something that no release may hold, such as strange code."""


def first_line(error: BaseException) -> str:
    """What an error says first, or what it is."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def last_line(text: str) -> str:
    """What a program said last, without fedshow's own name in front; empty when it said nothing."""
    said = (line.strip() for line in reversed(text.splitlines()))
    return next(filter(None, said), "").removeprefix("fedshow: ")
