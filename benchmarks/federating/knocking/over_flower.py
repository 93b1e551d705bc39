"""Every call of Flower's own interfaces, as the installed Flower lists them.

Fleet calls are for nodes, shown by their key and a signature with it; all others must not be there.
"""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.date import now
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES

from benchmarks.federating.knocking.cast import Cast, Headers, shown
from benchmarks.federating.knocking.line import Answer, Line
from benchmarks.federating.knocking.spellings import PLAIN, VERBS, spellings
from benchmarks.federating.knocking.tally import Tally
from fedshow.roles import Role

REFUSED = (401, 403)
NOT_THERE = (*REFUSED, 404, 405)
FLEET = "/v1/fleet/"
MORE_OF_FLOWERS = (
    "/health",
    "/v1/fleet",
    "/v1/fleet/",
    "/docs",
    "/openapi.json",
    "/v1/",
    "/api/v1/",
)
FOR_GUESTS = ("activate-node", "send-node-heartbeat", "pull-messages")
"""What a node does all day; the rest would undo its registration or needs a run."""
Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Papers:
    """What a fleet call shows: a key, a signature with some key, and whose mail it asks for."""

    shows: Key
    signs: Key
    node_id: int
    asks_as: Key
    """Whose public half stands in requests that name a key."""
    age: timedelta = timedelta()
    signed_age: timedelta | None = None
    """Of the time that was signed, when it is not the one shown."""

    @cached_property
    def headers(self) -> Headers:
        """As Flower's nodes send them."""
        time = (now() - self.age).isoformat()
        signed = time if self.signed_age is None else (now() - self.signed_age).isoformat()
        signature = sign_message(self.signs, signed.encode())
        return (
            key_header(self.shows),
            (TIMESTAMP_HEADER, time),
            (FLEET_HTTP_SIGNATURE_HEADER, b64encode(signature).decode()),
        )


def key_header(key: Key) -> tuple[str, str]:
    """The public half as Flower's calls show it."""
    shown_as = b64encode(public_key_to_bytes(key.public_key())).decode()
    return FLEET_HTTP_PUBLIC_KEY_HEADER, shown_as


def knock(cast: Cast, tally: Tally) -> None:
    """Calls every path of Flower's as strangers, as wrong nodes, and as a right one."""
    me = cast.members[Role.CONTRIBUTOR]
    node_id = me.reply.node_id
    assert node_id is not None
    mine = Papers(me.key, me.key, node_id, me.key)
    with Line(cast.server) as line:
        for call in FOR_GUESTS:
            answer = _ask(line, f"{FLEET}{call}", mine)
            tally.guest(f"a contributor at {FLEET}{call}", answer, admitted=answer.status == 200)
        for path in sorted({path for _, path in PROTOBUF_REQUEST_TYPES}):
            if path.startswith(FLEET):
                _knock_at_fleet(line, path, cast, mine, tally)
            else:
                _knock_elsewhere(line, path, cast, mine, tally)
        for path in MORE_OF_FLOWERS:
            _knock_elsewhere(line, path, cast, mine, tally)


def _knock_at_fleet(line: Line, path: str, cast: Cast, mine: Papers, tally: Tally) -> None:
    for who, papers in _wrong(cast, mine):
        answer = _ask(line, path, papers)
        tally.stranger(f"{who} at {path}", answer, refused=answer.status in REFUSED)
    body = _body(path, mine)
    for who, headers in _without_signature(cast, mine):
        answer = line.send("POST", path, (*headers, _TYPE), body)
        tally.stranger(f"{who} at {path}", answer, refused=answer.status in REFUSED)
        for name, spelled in spellings(path).items():
            if name != PLAIN:
                answer = line.send("POST", spelled, (*headers, _TYPE), body)
                tally.stranger(f"{who} at {spelled}", answer, refused=_is_not_there(answer))
        for verb in VERBS:
            if verb != "POST":
                answer = line.send(verb, path, (*headers, _TYPE), body)
                tally.stranger(f"{who} at {verb} {path}", answer, refused=_is_not_there(answer))


def _knock_elsewhere(line: Line, path: str, cast: Cast, mine: Papers, tally: Tally) -> None:
    """What only this machine may call: not even the best papers open it, however it is written."""
    best = (*mine.headers, *shown(cast.members[Role.OWNER]), _TYPE)
    for who, headers in (("nobody", (_TYPE,)), ("an owner with a node's key", best)):
        for spelled in (*spellings(path).values(), *_through_fleet(path)):
            answer = line.send("POST", spelled, headers, _body(path, mine))
            tally.stranger(f"{who} at {spelled}", answer, refused=_is_not_there(answer))
        for verb in VERBS:
            answer = line.send(verb, path, headers)
            tally.stranger(f"{who} at {verb} {path}", answer, refused=_is_not_there(answer))


def _through_fleet(path: str) -> Iterator[str]:
    """Out of the one path that is passed on."""
    inner = path.removeprefix("/v1/")
    for way in ("..", "%2e%2e", "%2E.", "..;", "%252e%252e", "x/../..", "x%2f..%2f.."):
        yield f"{FLEET}{way}/{inner}"
    yield f"{FLEET}pull-messages%0d%0aPOST%20{path}"


def _wrong(cast: Cast, mine: Papers) -> Iterator[tuple[str, Papers]]:
    foreign, other = (
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    hours, downloader = timedelta(hours=1), cast.members[Role.DOWNLOADER].key
    neighbour, cut_off = cast.neighbour, cast.revoked
    yield "a foreign key", replace(mine, shows=foreign, signs=foreign, asks_as=foreign)
    yield "a foreign key as a node", replace(mine, shows=foreign, signs=foreign)
    yield "a key of another kind", replace(mine, shows=other, signs=other)
    yield "a downloader's key", replace(mine, shows=downloader, signs=downloader)
    yield "a node signed by another", replace(mine, signs=foreign)
    yield "a node signed by its neighbour", replace(mine, signs=neighbour.key)
    yield "an old signature", replace(mine, age=hours)
    yield "a signature of tomorrow", replace(mine, age=-hours)
    yield "an old signature shown as new", replace(mine, signed_age=hours)
    yield "a neighbour", replace(mine, shows=neighbour.key, signs=neighbour.key)
    assert cut_off.reply.node_id is not None
    revoked = Papers(cut_off.key, cut_off.key, cut_off.reply.node_id, cut_off.key)
    yield "a revoked node", revoked
    yield "a revoked node for another", replace(revoked, node_id=mine.node_id, asks_as=mine.shows)


def _without_signature(cast: Cast, mine: Papers) -> Iterator[tuple[str, Headers]]:
    foreign = Papers(cast.revoked.key, cast.revoked.key, mine.node_id, mine.shows)
    yield "nobody", ()
    yield "an owner's token", shown(cast.members[Role.OWNER])
    yield "an empty key", ((FLEET_HTTP_PUBLIC_KEY_HEADER, ""),)
    yield "no key at all", ((FLEET_HTTP_PUBLIC_KEY_HEADER, b64encode(b"x").decode()),)
    yield "a key alone", (key_header(mine.shows),)
    yield "two keys", (key_header(mine.shows), *foreign.headers)


_TYPE = ("content-type", PROTOBUF_MEDIA_TYPE)


def _ask(line: Line, path: str, papers: Papers) -> Answer:
    return line.send("POST", path, (*papers.headers, _TYPE), _body(path, papers))


def _body(path: str, papers: Papers) -> bytes:
    """A request that names the node or the key, where there is room for one."""
    kind: Any = PROTOBUF_REQUEST_TYPES.get(("POST", path))
    if kind is None:
        return b""
    request = kind()
    fields = kind.DESCRIPTOR.fields_by_name
    if "public_key" in fields and fields["public_key"].type == fields["public_key"].TYPE_BYTES:
        request.public_key = public_key_to_bytes(papers.asks_as.public_key())
    if "node" in fields:
        request.node.node_id = papers.node_id
    elif "node_id" in fields and not fields["node_id"].is_repeated:
        request.node_id = papers.node_id
    if "heartbeat_interval" in fields:
        request.heartbeat_interval = 30.0
    return bytes(request.SerializeToString())


def _is_not_there(answer: Answer) -> bool:
    return answer.status in NOT_THERE or (answer.status in (0, 400) and not answer.ours)
