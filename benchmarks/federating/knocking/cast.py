"""Everybody who calls: members of every role, and people whose papers are worth nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from fedshow.joining import JoinRequest
from fedshow.releases import Manifest
from fedshow.roles import Role
from fedshow.wire import JOIN_PATH
from fedshow_server.web.sessions import COOKIE
from tests.stage.gallery import session_for
from tests.stage.member import Member, openssh_line
from tests.stage.publishing import put_release
from tests.stage.server import Server

Headers = tuple[tuple[str, str], ...]
FILE = "weights.safetensors"
FILES = {FILE: bytes(range(256)) * 16, "model_index.json": b"{}"}
"""Of the one release."""


@dataclass(frozen=True)
class Cast:
    """Members of a running server, headers that must open nothing, secrets that are good no more."""

    server: Server
    members: dict[Role, Member]
    neighbour: Member
    """Another contributor: its key is good, but not for the first one's mail."""
    revoked: Member
    strangers: dict[str, Headers]
    spent: dict[str, JoinRequest]
    release: Manifest

    def outsiders(self, admits: frozenset[Role]) -> dict[str, Headers]:
        """Who must not come in where only these roles may."""
        others = {f"a {role}": shown(it) for role, it in self.members.items() if role not in admits}
        return self.strangers | others

    def insiders(self, admits: frozenset[Role]) -> dict[str, Headers]:
        """Who must come in there."""
        return {f"a {role}": shown(it) for role, it in self.members.items() if role in admits}


def assemble(server: Server, work: Path) -> Cast:
    """Everybody, enrolled over the wire; one release lies there to be asked for."""

    def join(name: str, role: Role) -> Member:
        folder = work / name
        folder.mkdir()
        return Member.redeem(server, server.invite(name, role), folder)

    members = {role: join(f"the-{role}", role) for role in Role}
    neighbour, cut_off = join("neighbour", Role.CONTRIBUTOR), join("cut-off", Role.OWNER)
    ended = session_for(server, cut_off)
    server.revoke("cut-off")
    replaced = _replaced(server, join("joined-twice", Role.OWNER))
    owner = members[Role.OWNER]
    spent = _spent(server, neighbour, cut_off)
    strangers = _strangers(owner, cut_off, replaced, spent) | _sessions(owner, ended)
    release = put_release(server, "potter", FILES)
    return Cast(server, members, neighbour, cut_off, strangers, spent, release)


def shown(member: Member) -> Headers:
    """The member's token, as it has to be shown."""
    return bearer(member.reply.token)


def bearer(token: str) -> Headers:
    """A token, shown as it has to be."""
    return (("authorization", f"Bearer {token}"),)


def new_key_line() -> str:
    """The public half of a key that nobody has seen before."""
    return openssh_line(ec.generate_private_key(ec.SECP384R1()))


def _replaced(server: Server, member: Member) -> str:
    """The token of a member that joined again since, and so has another one."""
    with server.http() as client:
        client.post(JOIN_PATH, json=member.request.model_dump()).raise_for_status()
    return member.reply.token


def _strangers(
    owner: Member, cut_off: Member, replaced: str, spent: dict[str, JoinRequest]
) -> dict[str, Headers]:
    """Most of them know an owner's token, but do not show it as it is, or where it belongs."""
    token = owner.reply.token
    made: dict[str, Callable[[], Headers]] = {
        "nobody": lambda: (),
        "an empty header": lambda: (("authorization", ""),),
        "an empty token": lambda: (("authorization", "Bearer "),),
        "no scheme": lambda: (("authorization", token),),
        "another scheme": lambda: (("authorization", f"Basic {token}"),),
        "two tokens in one": lambda: bearer(f"{token}, {token}"),
        "two headers": lambda: (*bearer(token), *bearer("x" * 43)),
        "the token twice": lambda: bearer(token) * 2,
        "another header": lambda: (("x-authorization", f"Bearer {token}"),),
        "a cookie": lambda: (("cookie", f"authorization=Bearer {token}; token={token}"),),
        "a wrong token": lambda: bearer("x" * 43),
        "half a token": lambda: bearer(token[:-1]),
        "more than a token": lambda: bearer(f"{token}x"),
        "an upper-case token": lambda: bearer(token.swapcase()),
        "a quoted token": lambda: bearer(f'"{token}"'),
        "the token's digest": lambda: bearer(sha256(token.encode()).hexdigest()),
        "a long token": lambda: bearer("x" * 4000),
        "SQL": lambda: bearer("' OR token_sha256 LIKE '%"),
        "a wildcard": lambda: bearer("%"),
        "a revoked token": lambda: shown(cut_off),
        "a replaced token": lambda: bearer(replaced),
        "a join code's secret": lambda: bearer(spent["a used code"].secret),
        "an expired code's secret": lambda: bearer(spent["an expired code"].secret),
    }
    return {name: make() for name, make in made.items()}


def _sessions(owner: Member, ended: str) -> dict[str, Headers]:
    """Cookies that are nobody's session."""
    shown = {
        "a wrong session": "x" * 43,
        "an empty session": "",
        "a session of one cut off": ended,
        "a token as a session": owner.reply.token,
        "a session's digest": sha256(ended.encode()).hexdigest(),
    }
    return {name: (("cookie", f"{COOKIE}={value}"),) for name, value in shown.items()}


def _spent(server: Server, used: Member, cut_off: Member) -> dict[str, JoinRequest]:
    """What no longer makes anybody a member; tokens do not expire, codes do."""
    store = server.store()
    expired = store.members.invite("too-late", timedelta(seconds=-1), Role.OWNER)
    store.close()
    line = new_key_line()
    return {
        "an expired code": JoinRequest(secret=expired, public_key=line),
        "a used code": JoinRequest(secret=used.request.secret, public_key=line),
        "the code of one cut off": JoinRequest(secret=cut_off.request.secret, public_key=line),
        "the code and key of one cut off": cut_off.request,
        "a made-up code": JoinRequest(secret="x" * 43, public_key=line),
        "a token as a code": JoinRequest(secret=used.reply.token, public_key=line),
    }
