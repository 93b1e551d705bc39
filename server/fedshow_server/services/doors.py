"""Who may call what: every method has an entry, or nobody may call it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from fedshow.errors import Forbidden, InvalidInput
from fedshow_server import calls
from fedshow_server.members.guard import Guard
from fedshow_server.members.node_keys import shown_key
from fedshow_server.services.policies import POLICIES, Policy
from fedshow_server.services.streams import OpenStreams
from fedshow_server.store import Members, Node
from fedshow_server.store.members import hash_secret

BEARER = "Bearer "
Find = Callable[[str], Node]
"""The node that something secret belongs to; raises Forbidden."""

_caller: ContextVar[Node] = ContextVar("caller")


def caller() -> Node:
    """The node whose call is being served."""
    return _caller.get()


class NotKnown(Forbidden):
    """Nobody that the server knows is asking; otherwise it is somebody who may not do this."""


class Entrance:
    """Tells who is there by the token shown; the same for gRPC and HTTP."""

    def __init__(self, members: Members, on_call: Callable[[Node], None], guard: Guard) -> None:
        self._members = members
        self._on_call = on_call
        self._guard = guard
        self._proven: set[str] = set()

    @asynccontextmanager
    async def entered(self, token: str | None, policy: Policy | None) -> AsyncIterator[Node]:
        """Inside, the node with this token is served. Raises Forbidden, Exhausted.

        With `policy` None, nobody is.
        """
        async with self._serving(token, lambda it: self._members.authenticate(it), policy) as node:
            self._on_call(node)
            yield node

    @asynccontextmanager
    async def resumed(self, session: str, find: Find, policy: Policy | None) -> AsyncIterator[Node]:
        """The same by a session that `find` knows: of a person, so that no daemon is there for it."""
        async with self._serving(session, find, policy) as node:
            yield node

    @asynccontextmanager
    async def _serving(
        self, shown: str | None, find: Find, policy: Policy | None
    ) -> AsyncIterator[Node]:
        node = await self._found(shown if policy else None, find)
        calls.known_as(node.name)
        assert policy is not None
        if not policy.admits(node.role):
            error = Forbidden(f"node {node.name!r} is a {node.role} here, which may not do this")
            await self._guard.note(error)
            raise error
        with self._guard.busy(node):
            yield node

    @asynccontextmanager
    async def passing(self, key_header: str | None) -> AsyncIterator[None]:
        """Inside, a call of Flower's goes on. Raises Forbidden unless it shows a node's key, Exhausted.

        Whether the caller has its private half, Flower finds out.
        """
        node = await self._found(key_header, lambda it: self._members.holder(shown_key(it)))
        with self._guard.busy_with_flower(node):
            yield

    async def _found(self, shown: str | None, find: Find) -> Node:
        """The node that shows this; a stranger at its address cannot lock out who came in before."""
        proof = hash_secret(shown or "")
        if proof not in self._proven:
            self._guard.may_try()
        try:
            if shown is None:
                raise Forbidden("this call needs a token: join the server first")
            node = await asyncio.to_thread(find, shown)
        except Forbidden as error:
            await self._guard.refused(error)
            raise NotKnown(str(error)) from None
        self._proven.add(proof)
        return node


class Doors(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Lets a call in, or raises Forbidden in its place, or later while its answers stream."""

    def __init__(self, entrance: Entrance, streams: OpenStreams) -> None:
        self._entrance = entrance
        self._streams = streams

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """The handler, behind its door."""
        handler = await continuation(details)
        policy = POLICIES.get(details.method)
        if handler is None or policy is Policy.ANYBODY:
            return handler
        return self._behind(handler, token_in(details.invocation_metadata), policy)

    def _behind(self, handler: Any, token: str | None, policy: Policy | None) -> Any:
        async def call(content: bytes, context: Any) -> Any:
            async with self._entrance.entered(token, policy) as node:
                _caller.set(node)
                return await handler.unary_unary(_message(handler, content), context)

        async def stream(content: bytes, context: Any) -> Any:
            async with self._entrance.entered(token, policy) as node:
                _caller.set(node)
                answers = handler.unary_stream(_message(handler, content), context)
                async for answer in self._streams.until_revoked(node, answers):
                    yield answer

        codec = (None, handler.response_serializer)  # what a stranger sends is not even read
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, *codec)
        return grpc.unary_unary_rpc_method_handler(call, *codec)


def _message(handler: Any, content: bytes) -> Any:
    """The request in `content`; raises InvalidInput."""
    try:
        return handler.request_deserializer(content)
    except DecodeError:
        raise InvalidInput("this is no message of this call") from None


def token_in(headers: Iterable[tuple[str, str | bytes]]) -> str | None:
    """The one bearer token among metadata or headers; None when there is none, or more than one."""
    values = [value for name, value in headers if name == "authorization"]
    if len(values) == 1 and str(values[0]).startswith(BEARER):
        return str(values[0]).removeprefix(BEARER)
    return None
