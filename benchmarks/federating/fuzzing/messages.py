"""Requests of every gRPC method, sent as raw bytes by an owner, who may call all of them.

A message is bad unless it parses and its fields are what the contract says: names, classes and digests of
the documented form, sizes within the limits, roles and hours that there are, this server's base; names
of concepts, nodes and releases that exist; a range inside the file. What is downloaded must be the bytes.
"""

import math
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from benchmarks.federating.fuzzing.mutating import odd_bytes
from benchmarks.federating.fuzzing.strictly import NAME, SHA256, Bad, demand
from benchmarks.federating.fuzzing.target import HANG_SECONDS, Broken, Hang, Target
from benchmarks.federating.knocking.cast import Cast, shown
from benchmarks.federating.knocking.over_grpc import our_methods
from fedshow import rpc
from fedshow.roles import Role
from fedshow.v1.releases_pb2 import DownloadFileResponse
from fedshow.wire import MAX_CONCEPT_BYTES
from tests.stage.concepts import CARD

TYPED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""What an owner's message may be refused with."""
CLASS, NODE = re.compile(r"[a-z][a-z-]{0,30}"), re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
VALUES: dict[str, Any] = {
    "name": "potter",
    "class_word": "man",
    "sha256": "ab" * 32,
    "size_bytes": 1000,
    "base_sha256": CARD.sha256,
    "role": 2,
    "hours": 1.0,
    "offset_bytes": 1,
    "length_bytes": 5,
}
"""Good ones, by the field's name."""
TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", "latest", "everybody", "me", "a" * 64, "A" * 64, "x" * 100_000, "%", "\x00"]
    ),
)
WHOLE = st.sampled_from([0, 1, 2, 3, 4, 2**31 - 1])
LARGE = WHOLE | st.sampled_from([MAX_CONCEPT_BYTES, MAX_CONCEPT_BYTES + 1, 2**32, 2**63, 2**64 - 1])
REALS = st.floats() | st.sampled_from([0.0, 0.01, 8760.0, 8760.1, 1e308, 5e-324])


@dataclass
class World:
    """The server under fire, and what it has been told so far."""

    cast: Cast
    channel: Any
    contents: dict[str, bytes]
    """Released files by digest."""
    methods: tuple[MethodDescriptor, ...] = field(default_factory=lambda: tuple(our_methods()))
    concepts: set[str] = field(default_factory=set)

    def method(self, case: bytes) -> MethodDescriptor:
        """A case begins with a byte that says which method is called."""
        return self.methods[case[0] % len(self.methods)]


def target(cast: Cast, channel: Any, contents: dict[str, bytes]) -> Target:
    """Every method as often as any other."""
    world = World(cast, channel, contents)
    seeds = tuple(
        bytes((number,)) + _valid(world, method).SerializeToString()
        for number, method in enumerate(world.methods)
    )
    cases = st.integers(0, len(world.methods) - 1).flatmap(lambda number: _odd(world, number))
    return Target(
        "messages",
        cases,
        seeds,
        lambda case: feed(world, case),
        lambda *it: fault(world, *it),
        guided=False,
    )


def _valid(world: World, method: MethodDescriptor) -> Message:
    message = GetMessageClass(method.input_type)()
    digest = next(iter(world.contents))
    good = VALUES | {"release": world.cast.release.release, "name": f"{method.name.lower()}-x"}
    if method.name == "DownloadFile":
        good["sha256"] = digest
    for one in message.DESCRIPTOR.fields:
        if one.name == "visible":
            message.visible.nodes.append("neighbour")  # type: ignore[attr-defined]
        else:
            setattr(message, one.name, good[one.name])
    return message


def _odd(world: World, number: int) -> st.SearchStrategy[bytes]:
    valid = _valid(world, world.methods[number])
    content = valid.SerializeToString()
    odd = odd_messages(valid).map(lambda message: message.SerializeToString())
    unknown = st.builds(
        bytes.__add__, odd, st.sampled_from([b"\xf8\x07\x01", b"\xfa\x07\x01x", b"\x0b"])
    )
    deep = st.just(b"\x32\x7f" * 50 + content) | st.just(content * 50)
    cases = st.one_of(odd, odd, odd_bytes(content), unknown, deep, st.binary(max_size=64))
    return cases.map(bytes((number,)).__add__)


@st.composite
def odd_messages(draw: st.DrawFn, valid: Message) -> Message:
    """The message with some of its fields set to something else."""
    message = deepcopy(valid)
    for one in message.DESCRIPTOR.fields:
        if not draw(st.booleans()):
            continue
        if one.name == "visible":
            message.visible.nodes.extend(draw(st.lists(TEXTS, max_size=3)))  # type: ignore[attr-defined]
        else:
            setattr(message, one.name, draw(_values(one.cpp_type)))
    return message


def _values(kind: int) -> st.SearchStrategy[Any]:
    return {
        FieldDescriptor.CPPTYPE_STRING: TEXTS,
        FieldDescriptor.CPPTYPE_UINT64: LARGE,
        FieldDescriptor.CPPTYPE_ENUM: WHOLE,
        FieldDescriptor.CPPTYPE_DOUBLE: REALS,
    }[kind]


def feed(world: World, case: bytes) -> list[bytes]:
    """The answers; of a watch the first. Raises what the server says, or Broken, or Hang."""
    if not case:
        return []
    method = world.method(case)
    path = f"/{method.containing_service.full_name}/{method.name}"
    make = world.channel.unary_stream if method.server_streaming else world.channel.unary_unary
    try:
        answer = make(path)(case[1:], timeout=HANG_SECONDS, metadata=shown(_owner(world)))
        if not method.server_streaming:
            return [answer]
        if method.name.startswith("Watch"):
            return _first(answer)
        return list(answer)
    except grpc.RpcError as error:
        raise _refusal(method, error) from error


def _first(answers: Any) -> list[bytes]:
    found = [next(answers)]
    answers.cancel()
    return found


def _refusal(method: MethodDescriptor, error: Any) -> BaseException:
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Hang()
    if error.code() not in TYPED:
        return Broken(f"{method.name}: {error.code().name}: {error.details()}")
    if not error.details().isprintable():
        return Broken(f"{method.name}: refused in unreadable words: {error.details()!a:.80}")
    return rpc.typed(error)


def _owner(world: World) -> Any:
    return world.cast.members[Role.OWNER]


def fault(world: World, case: bytes, made: list[bytes]) -> str | None:
    """Why the message is bad, or was answered with something else."""
    method = world.method(case)
    try:
        request = GetMessageClass(method.input_type).FromString(case[1:])
        if (judge := JUDGES.get(method.name)) is not None:
            judge(world, request, made)
    except DecodeError:
        return f"{method.name}: no message was taken"
    except Bad as error:
        return f"{method.name}: {error}"
    return None


def _submitted(world: World, request: Any, _made: list[bytes]) -> None:
    world.concepts.add(request.name)
    demand(NAME.fullmatch(request.name), f"name {request.name!r:.40}")
    demand(CLASS.fullmatch(request.class_word), f"class {request.class_word!r:.40}")
    demand(SHA256.fullmatch(request.sha256), f"digest {request.sha256!r:.40}")
    demand(0 < request.size_bytes <= MAX_CONCEPT_BYTES, f"size {request.size_bytes}")
    demand(request.base_sha256 == CARD.sha256, "another base")
    _shown_to(request)


def _shown_to(request: Any) -> None:
    for name in request.visible.nodes:
        demand(NODE.fullmatch(name) and name not in ("everybody", "me"), f"node {name!r:.40}")


def _named(world: World, request: Any, _made: list[bytes]) -> None:
    demand(request.name in world.concepts, f"there is no concept {request.name!r:.40}")
    if hasattr(request, "visible"):
        _shown_to(request)


def _got(world: World, request: Any, _made: list[bytes]) -> None:
    release, asked = world.cast.release.release, request.release
    is_prefix = len(asked) >= 8 and release.startswith(asked)
    demand(asked == "latest" or is_prefix, f"there is no release {asked!r:.40}")


def _downloaded(world: World, request: Any, made: list[bytes]) -> None:
    demand(request.sha256 in world.contents, f"there is no file {request.sha256!r:.40}")
    content = world.contents[request.sha256]
    start, end = request.offset_bytes, request.offset_bytes + request.length_bytes
    demand(end <= len(content), f"{start} and {request.length_bytes} more are not in it")
    sent = b"".join(DownloadFileResponse.FromString(answer).chunk for answer in made)
    demand(sent == content[start : end if request.length_bytes else None], "other bytes were sent")


def _invited(_world: World, request: Any, _made: list[bytes]) -> None:
    demand(NODE.fullmatch(request.name), f"node {request.name!r:.40}")
    demand(request.name not in ("everybody", "me"), "a word with a meaning of its own")
    demand(request.role in (1, 2, 3), f"role {request.role}")
    demand(math.isfinite(request.hours) and 0.01 <= request.hours <= 8760, f"{request.hours} hours")


def _revoked(world: World, request: Any, _made: list[bytes]) -> None:
    names = {member.reply.node for member in (*world.cast.members.values(), world.cast.neighbour)}
    demand(request.name in names | {"joined-twice"}, f"there is no node {request.name!r:.40}")


JUDGES: dict[str, Callable[[World, Any, list[bytes]], None]] = {
    "SubmitConcept": _submitted,
    "WithdrawConcept": _named,
    "ShowConcept": _named,
    "RemoveConcept": _named,
    "ApproveConcept": _named,
    "RejectConcept": _named,
    "GetRelease": _got,
    "DownloadFile": _downloaded,
    "InviteNode": _invited,
    "RevokeNode": _revoked,
}
"""Of the methods whose requests say something; the others give lists whatever comes."""
