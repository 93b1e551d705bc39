"""Every gRPC call has an id, which its answer tells, and is accounted for when it ends."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import grpc

from fedshow.rpc import OUR_METHODS
from fedshow_server import calls

CODES: dict[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}


class Traced(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """The outermost interceptor."""

    def __init__(self, on_answer: calls.OnAnswer) -> None:
        self._on_answer = on_answer

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """The handler, with an id and a stop watch around it."""
        handler = await continuation(details)
        if handler is None or not details.method.startswith(OUR_METHODS):
            return handler
        codec = (handler.request_deserializer, handler.response_serializer)
        name = details.method.rpartition("/")[2]

        async def call(request: Any, context: Any) -> Any:
            with self._watched(name, context) as sent:
                answer = await handler.unary_unary(request, context)
                sent.append(answer.ByteSize())
                return answer

        async def stream(request: Any, context: Any) -> Any:
            with self._watched(name, context) as sent:
                async for answer in handler.unary_stream(request, context):
                    sent[0] += answer.ByteSize()
                    yield answer

        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, *codec)
        return grpc.unary_unary_rpc_method_handler(call, *codec)

    @contextmanager
    def _watched(self, name: str, context: Any) -> Iterator[list[int]]:
        """Inside, the call is the current one; gives a list of the bytes sent."""
        call, started, sent = calls.begin(name, address_of(context.peer())), time.monotonic(), [0]
        context.set_trailing_metadata(((calls.HEADER, call.id),))
        code = None
        try:
            yield sent
        except (asyncio.CancelledError, GeneratorExit):
            code = grpc.StatusCode.CANCELLED.name
            raise
        finally:
            code = code or _code(context)
            seconds = time.monotonic() - started
            answered = calls.Answered(call, name, code, seconds, sum(sent))
            calls.log_answer(answered)
            self._on_answer(answered)


def _code(context: Any) -> str:
    """What the call ended with; gRPC tells a number, and none while all is well."""
    code = context.code()
    number = code.value[0] if isinstance(code, grpc.StatusCode) else code or 0
    return CODES.get(number, f"code {number}")


def address_of(peer: str) -> str:
    """The host in gRPC's `ipv4:HOST:PORT` or `ipv6:%5BHOST%5D:PORT`."""
    return unquote(peer.partition(":")[2]).rpartition(":")[0].strip("[]") or peer
