"""Every method of every gRPC service, as its descriptors list them."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2

from benchmarks.federating.knocking.cast import Cast, Headers
from benchmarks.federating.knocking.spellings import PLAIN, spellings
from benchmarks.federating.knocking.tally import Tally
from fedshow import v1
from fedshow.roles import Role

REFUSED = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
NOT_THERE = {*REFUSED, grpc.StatusCode.UNIMPLEMENTED}
LET_IN = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,  # these are about what was asked, after the door
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
}
READING = ("List", "Get", "Watch", "Download")
BODIES = {"nothing": b"", "no message": b"\xff" * 7}
ELSEWHERE = (
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/grpc.channelz.v1.Channelz/GetServers",
    "/grpc.health.v1.Health/List",
    "/flwr.proto.Fleet/PullMessages",
    "/flwr.proto.Control/StartRun",
    "/",
)
"""Nobody may call these, not even an owner."""
DEADLINE_SECONDS = 30


def knock(cast: Cast, tally: Tally) -> None:
    """Calls everything as everybody."""
    credentials = grpc.ssl_channel_credentials(cast.neighbour.ca_pem)
    with grpc.secure_channel(cast.neighbour.reply.grpc, credentials) as channel:
        for method in our_methods():
            _knock_at(channel, method, cast, tally)
        for method in health_pb2.DESCRIPTOR.services_by_name["Health"].methods:
            code = call(channel, _path(method), method.server_streaming)
            tally.guest(f"nobody at {_path(method)}", code, admitted=code in LET_IN)
        for path in ELSEWHERE:
            for who, metadata in {"nobody": (), **cast.insiders(frozenset(Role))}.items():
                code = call(channel, path, False, metadata)
                tally.stranger(f"{who} at {path}", code, refused=code in NOT_THERE)


def our_methods() -> Iterator[MethodDescriptor]:
    """Every method in the package, whatever modules it has."""
    for module in iter_modules(v1.__path__, f"{v1.__name__}."):
        if module.name.endswith("_pb2"):
            for service in import_module(module.name).DESCRIPTOR.services_by_name.values():
                yield from service.methods


def admitted_roles(method: MethodDescriptor) -> frozenset[Role]:
    """Who may call it, by what the contract says, not by what the server's table of policies does."""
    if method.containing_service.name == "AdminService":
        return frozenset({Role.OWNER})
    if method.name.startswith(READING):
        return frozenset(Role)
    return frozenset({Role.OWNER, Role.CONTRIBUTOR})


def call(
    channel: Any, path: str, streaming: bool, metadata: Headers = (), body: bytes = b""
) -> Any:
    """The status that a call ends with; of a stream, what comes first."""
    make = channel.unary_stream if streaming else channel.unary_unary
    try:
        answer = make(path)(body, timeout=DEADLINE_SECONDS, metadata=metadata)
        if streaming:
            next(iter(answer), None)
            answer.cancel()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def _knock_at(channel: Any, method: MethodDescriptor, cast: Cast, tally: Tally) -> None:
    path, streaming, roles = _path(method), method.server_streaming, admitted_roles(method)
    for who, metadata in cast.outsiders(roles).items():
        for body, content in BODIES.items():
            code = call(channel, path, streaming, metadata, content)
            tally.stranger(f"{who} with {body} at {path}", code, refused=code in REFUSED)
        for name, spelled in spellings(path).items():
            if name != PLAIN:
                code = call(channel, spelled, streaming, metadata)
                tally.stranger(f"{who} at {spelled}", code, refused=code in NOT_THERE)
    for who, metadata in cast.insiders(roles).items():
        code = call(channel, path, streaming, metadata)
        tally.guest(f"{who} at {path}", code, admitted=code in LET_IN)


def _path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"
