"""gRPC as fedshow uses it: typed errors on both ends, retries where repeating is safe, TLS always.

A servicer raises an error of `fedshow.errors`; it travels as google.rpc.Status with ErrorInfo and
is raised again, as the same type with the same words, inside the caller's `with typed_errors():`.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from pydantic import BaseModel, ConfigDict

from fedshow import errors
from fedshow.errors import FedshowError

log = logging.getLogger(__name__)

DOMAIN = "fedshow"
INTERNAL_TEXT = "the server failed; its log says why"
MAX_MESSAGE_LENGTH = 2000
"""Characters of an error's text that travel: headers have limits."""

REASONS: dict[str, tuple[type[FedshowError], int]] = {
    "INVALID_INPUT": (errors.InvalidInput, code_pb2.INVALID_ARGUMENT),
    "ABSENT": (errors.Absent, code_pb2.FAILED_PRECONDITION),
    "REFUSED_CONCEPT": (errors.RefusedConcept, code_pb2.INVALID_ARGUMENT),
    "BASE_MISMATCH": (errors.BaseMismatch, code_pb2.FAILED_PRECONDITION),
    "NOT_FOUND": (errors.NotFound, code_pb2.NOT_FOUND),
    "FORBIDDEN": (errors.Forbidden, code_pb2.PERMISSION_DENIED),
    "UNREACHABLE": (errors.Unreachable, code_pb2.UNAVAILABLE),
    "EXHAUSTED": (errors.Exhausted, code_pb2.RESOURCE_EXHAUSTED),
    "DAMAGED": (errors.Damaged, code_pb2.DATA_LOSS),
    "REFUSED_RELEASE": (errors.RefusedRelease, code_pb2.FAILED_PRECONDITION),
    "FAILED": (FedshowError, code_pb2.UNKNOWN),
}
"""Reason on the wire to the error's type and gRPC code."""

BY_CODE: dict[grpc.StatusCode, type[FedshowError]] = {
    grpc.StatusCode.UNAVAILABLE: errors.Unreachable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.Unreachable,
    grpc.StatusCode.CANCELLED: errors.Unreachable,
    grpc.StatusCode.UNAUTHENTICATED: errors.Forbidden,
    grpc.StatusCode.PERMISSION_DENIED: errors.Forbidden,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidInput,
}
"""What a status without our own details means: it comes from gRPC itself."""

REPEATABLE = ("fedshow.v1.ConceptService", "fedshow.v1.ReleaseService")
"""Services of which every call may be made twice."""
SERVICES = (*REPEATABLE, "fedshow.v1.AdminService")

OUR_METHODS = "/fedshow."

SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": service} for service in REPEATABLE],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.3s",
                "maxBackoff": "3s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}

DEADLINE_SECONDS = 15.0
"""For single answers: longer than all back-offs, or a dead server would read as a slow one."""

CHANNEL_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    ("grpc.keepalive_time_ms", 60_000),  # a watch through a home router must notice a cut
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_reconnect_backoff_ms", 10_000),  # two minutes by default: news would come late
)


def open_channel(address: str, ca_pem: bytes, token: str) -> grpc.Channel:
    """A channel that trusts only this certificate authority and shows `token` with every call."""
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(ca_pem), grpc.access_token_call_credentials(token)
    )
    return grpc.secure_channel(address, credentials, options=CHANNEL_OPTIONS)


def reason_of(error: FedshowError) -> str:
    """The word that stands for the error's type on the wire."""
    for kind in type(error).__mro__:
        for reason, (known, _) in REASONS.items():
            if known is kind:
                return reason
    raise AssertionError(f"{type(error)} is no FedshowError")


class Refusal(BaseModel):
    """JSON body of every HTTP answer that is no success; `error_of` makes the error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str
    message: str


def error_of(reason: str, message: str) -> FedshowError:
    """The error that `reason` and `message` stand for; an unknown reason gives a FedshowError."""
    kind = REASONS[reason][0] if reason in REASONS else FedshowError
    return kind(message)


def status_of(error: Exception) -> status_pb2.Status:
    """The status that carries `error`; anything but a FedshowError says only INTERNAL."""
    if not isinstance(error, FedshowError):
        return status_pb2.Status(code=code_pb2.INTERNAL, message=INTERNAL_TEXT)
    reason, detail = reason_of(error), any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))
    details = [detail]
    if isinstance(error, errors.Exhausted):
        details.append(_retry_after(error.retry_seconds))
    message = str(error)[:MAX_MESSAGE_LENGTH]
    return status_pb2.Status(code=REASONS[reason][1], message=message, details=details)


def _retry_after(seconds: float) -> any_pb2.Any:
    info, detail = error_details_pb2.RetryInfo(), any_pb2.Any()
    info.retry_delay.FromMilliseconds(int(seconds * 1000))
    detail.Pack(info)
    return detail


def typed(error: grpc.RpcError) -> FedshowError:
    """The error behind a failed call: the server's own, or what gRPC's code means."""
    if (reason := _reason_in(error)) is not None:
        return error_of(reason, error.details())
    code = error.code()
    if code in BY_CODE:
        return BY_CODE[code](f"{error.details()} ({code.name})")
    return FedshowError(f"{error.details()} ({code.name})")


@contextmanager
def typed_errors() -> Iterator[None]:
    """Inside, failed calls and broken streams raise errors of `fedshow.errors`."""
    try:
        yield
    except grpc.RpcError as error:
        raise typed(error) from error


def _reason_in(error: grpc.RpcError) -> str | None:
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # details that do not belong to this code: not ours
        return None
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info) and info.domain == DOMAIN:
            return str(info.reason)
    return None


class TypedErrors(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Turns what servicers raise into a status; an unknown exception shows only in the log."""

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """The handler, guarded; calls take one request and give one answer or a stream."""
        handler = await continuation(details)
        if handler is None or not details.method.startswith(OUR_METHODS):
            return handler
        if handler.response_streaming:
            return _guarded_stream(handler)
        return _guarded_call(handler)


def _guarded_call(handler: Any) -> Any:
    async def call(request: Any, context: Any) -> Any:
        try:
            return await handler.unary_unary(request, context)
        except Exception as error:
            await abort(context, error)

    return grpc.unary_unary_rpc_method_handler(
        call, handler.request_deserializer, handler.response_serializer
    )


def _guarded_stream(handler: Any) -> Any:
    async def stream(request: Any, context: Any) -> Any:
        try:
            async for answer in handler.unary_stream(request, context):
                yield answer
        except Exception as error:
            await abort(context, error)

    return grpc.unary_stream_rpc_method_handler(
        stream, handler.request_deserializer, handler.response_serializer
    )


async def abort(context: Any, error: Exception) -> None:
    """Ends the call with the status of `error`."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, FedshowError):
        log.error("a call failed", exc_info=error)
    status = rpc_status.to_status(status_of(error))
    metadata = (*(context.trailing_metadata() or ()), *status.trailing_metadata)
    await context.abort(status.code, status.details, metadata)
