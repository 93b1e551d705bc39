"""Who may call what: every method has an entry, or nobody may call it."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from enum import Enum
from typing import Any

import grpc

from fedshow.errors import Forbidden
from fedshow_server.services.streams import OpenStreams
from fedshow_server.store import Members, Node

CONCEPTS = "/fedshow.v1.ConceptService/"
RELEASES = "/fedshow.v1.ReleaseService/"
HEALTH = "/grpc.health.v1.Health/"
BEARER = "Bearer "


class Policy(Enum):
    """Who gets in."""

    ANYBODY = "anybody"
    NODE = "a node with a valid token"


POLICIES: dict[str, Policy] = {
    f"{HEALTH}Check": Policy.ANYBODY,
    f"{HEALTH}Watch": Policy.ANYBODY,
    f"{CONCEPTS}ListConcepts": Policy.NODE,
    f"{CONCEPTS}SubmitConcept": Policy.NODE,
    f"{CONCEPTS}WithdrawConcept": Policy.NODE,
    f"{RELEASES}ListReleases": Policy.NODE,
    f"{RELEASES}GetRelease": Policy.NODE,
    f"{RELEASES}WatchReleases": Policy.NODE,
    f"{RELEASES}DownloadFile": Policy.NODE,
}

_caller: ContextVar[Node] = ContextVar("caller")


def caller() -> Node:
    """The node whose call is being served."""
    return _caller.get()


class Doors(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Lets a call in, or raises Forbidden in its place, or later while its answers stream."""

    def __init__(
        self, members: Members, streams: OpenStreams, on_call: Callable[[Node], None]
    ) -> None:
        self._members = members
        self._streams = streams
        self._on_call = on_call

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """The handler, behind its door."""
        handler = await continuation(details)
        policy = POLICIES.get(details.method)
        if handler is None or policy is Policy.ANYBODY:
            return handler
        token = _token(details.invocation_metadata) if policy is Policy.NODE else None
        return self._behind(handler, token)

    async def _enter(self, token: str | None) -> Node:
        if token is None:
            raise Forbidden("this call needs a token: join the server first")
        node = await asyncio.to_thread(self._members.authenticate, token)
        self._on_call(node)
        _caller.set(node)
        return node

    def _behind(self, handler: Any, token: str | None) -> Any:
        async def call(request: Any, context: Any) -> Any:
            await self._enter(token)
            return await handler.unary_unary(request, context)

        async def stream(request: Any, context: Any) -> Any:
            node = await self._enter(token)
            answers = handler.unary_stream(request, context)
            async for answer in self._streams.until_revoked(node, answers):
                yield answer

        codec = (handler.request_deserializer, handler.response_serializer)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, *codec)
        return grpc.unary_unary_rpc_method_handler(call, *codec)


def _token(metadata: Any) -> str | None:
    values = [value for name, value in metadata if name == "authorization"]
    if len(values) == 1 and str(values[0]).startswith(BEARER):
        return str(values[0]).removeprefix(BEARER)
    return None
