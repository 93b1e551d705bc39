"""Getting to a server's two ports, and in which way that fails when it does."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fedshow.wire import CA_PATH, HEALTH_PATH, MAX_CA_BYTES

SECONDS = 8.0
"""For each port."""


DATES = (9, 10)
"""OpenSSL's codes for certificates that are not good yet, or no more."""

NAMES = (62, 64)
"""And for those of other hosts."""


class Blocked(Exception):
    """What stands in the way to a port, and what to do about it."""

    def __init__(self, says: str, advice: str, *, is_another: bool = False) -> None:
        super().__init__(says)
        self.says, self.advice = says, advice
        self.is_another = is_another
        """Somebody answers who has no certificate of the authority we know."""


@dataclass(frozen=True)
class Answer:
    """What a server says of itself over HTTPS."""

    seconds: float
    certificate: bytes
    """DER."""

    clock_ahead_seconds: float
    troubles: list[str]
    """Of its parts that do not do their work."""


def fetch_authority(address: str) -> bytes:
    """The certificate authority as the server itself tells it, PEM; nothing proves it. Raises Blocked."""
    with _translated(address), httpx.Client(verify=False, timeout=SECONDS) as client:  # noqa: S501
        reply = client.get(f"https://{address}{CA_PATH}")
    content = reply.content[:MAX_CA_BYTES]
    if reply.status_code != httpx.codes.OK or not content.startswith(b"-----BEGIN CERTIFICATE"):
        raise _no_fedshow(address, reply.status_code)
    return content


def ask(address: str, authority: bytes) -> Answer:
    """How the server is, when it has a certificate of this authority. Raises Blocked."""
    trust = ssl.create_default_context(cadata=authority.decode("ascii", "replace"))
    started = time.monotonic()
    with (
        _translated(address),
        httpx.Client(verify=trust, timeout=SECONDS) as client,
        client.stream("GET", f"https://{address}{HEALTH_PATH}") as reply,
    ):
        shown = reply.extensions["network_stream"].get_extra_info("ssl_object")
        certificate: bytes = shown.getpeercert(True)
        reply.read()  # after it the connection may be gone
    seconds = time.monotonic() - started
    try:
        parts: dict[str, str] = reply.json()["parts"]
        ahead = parsedate_to_datetime(reply.headers["date"]).timestamp() - time.time()
    except (ValueError, KeyError, TypeError):
        raise _no_fedshow(address, reply.status_code) from None
    troubles = [f"{part} {said}" for part, said in parts.items() if said != "ok"]
    return Answer(seconds, certificate, ahead, troubles)


def ask_grpc(address: str, authority: bytes) -> str:
    """What the health service of the gRPC port answers, in its own word. Raises Blocked."""
    credentials = grpc.ssl_channel_credentials(authority)
    with grpc.secure_channel(address, credentials) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        except grpc.RpcError as error:
            raise _grpc_blocked(address, error) from None
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))


def _grpc_blocked(address: str, error: Any) -> Blocked:
    says = f"{address} does not answer: {error.details()} ({error.code().name})"
    port = address.rpartition(":")[2]
    return Blocked(says, f"let port {port} through on the server's firewall and router as well")


def _no_fedshow(address: str, status: int) -> Blocked:
    return Blocked(
        f"{address} answers, but is no fedshow server (HTTP {status})",
        "say the HTTPS port: fedshow doctor --server HOST:PORT",
    )


@contextmanager
def _translated(address: str) -> Iterator[None]:
    """Turns what httpx raises into Blocked."""
    try:
        yield
    except httpx.HTTPError as error:
        raise _blocked(address, error) from None


def _blocked(address: str, error: httpx.HTTPError) -> Blocked:
    host, _, port = address.rpartition(":")
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _wrong_certificate(address, host, cause)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Blocked(f"the name {host} is not known", f"getent hosts {host}; is it spelled so?")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        says = f"{host} is there, but nothing listens on port {port}"
        return Blocked(says, "there: fedshow server run --listen 0.0.0.0:" + port)
    if isinstance(error, httpx.TimeoutException):
        says = f"{address} does not answer within {SECONDS:.0f} s"
        return Blocked(says, f"let port {port} through on its firewall and router")
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return Blocked(f"{address} speaks no TLS: {error}", "say the HTTPS port, 8443 mostly")
    return Blocked(f"{address} does not answer: {error}", f"ping {host}")


def _wrong_certificate(address: str, host: str, error: ssl.SSLCertVerificationError) -> Blocked:
    if error.verify_code in DATES:
        says = f"{address}: {error.verify_message}"
        return Blocked(says, "date says whether this clock is right; its owner restarts the server")
    if error.verify_code in NAMES:
        says = f"{address} has a certificate for other names"
        return Blocked(says, f"there: fedshow server run --public-name {host}")
    says = f"{address} is another server, or somebody in between: {error.verify_message}"
    return Blocked(says, "ask the owner for a new code", is_another=True)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
