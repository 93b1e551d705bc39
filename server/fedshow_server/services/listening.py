"""The gRPC port: TLS, the interceptors, the services and their health."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from fedshow.errors import InvalidInput
from fedshow.ports import taken
from fedshow.rpc import SERVICES, TypedErrors
from fedshow.v1.admin_pb2_grpc import AdminServiceServicer, add_AdminServiceServicer_to_server
from fedshow.v1.concepts_pb2_grpc import add_ConceptServiceServicer_to_server
from fedshow.v1.releases_pb2_grpc import add_ReleaseServiceServicer_to_server
from fedshow_server.calls import OnAnswer
from fedshow_server.layout import Certificates
from fedshow_server.services.concepts import ConceptServicer
from fedshow_server.services.doors import Doors
from fedshow_server.services.releases import ReleaseServicer
from fedshow_server.services.tracing import Traced

OPTIONS = (
    ("grpc.so_reuseport", 0),  # two servers on one port would share its calls
    (
        "grpc.http2.min_recv_ping_interval_without_data_ms",
        30_000,
    ),  # quiet watches send a ping a minute
    ("grpc.keepalive_permit_without_calls", 1),
)


@dataclass(frozen=True)
class Listener:
    """A gRPC server that has its port."""

    server: Any
    port: int
    _health: health.HealthServicer
    _certificates: "_ServerCertificates"
    _told: dict[str, Any] = field(default_factory=dict)

    async def start(self) -> None:
        """Takes calls; health says so only once it is told with `tell`."""
        await self.tell(lambda _: False)
        await self.server.start()

    async def tell(self, serves: Callable[[str], bool]) -> None:
        """What the health service says from now on, for the whole ("") and each service."""
        status = health_pb2.HealthCheckResponse.ServingStatus
        for service in ("", *SERVICES):
            now = status.SERVING if serves(service) else status.NOT_SERVING
            if self._told.get(service) != now:
                self._told[service] = now
                await self._health.set(service, now)

    def renew(self) -> None:
        """Takes the certificate that lies in its place now; connections stay."""
        self._certificates.renew()

    async def stop(self, drain_seconds: float) -> None:
        """Takes no more calls, lets those that run finish, and ends them when time is up."""
        await self._health.enter_graceful_shutdown()
        await self.server.stop(drain_seconds)


class _ServerCertificates:
    """What gRPC shows to those who connect."""

    def __init__(self, certificates: Certificates) -> None:
        self._files = certificates
        self._renewed: Any = None

    def credentials(self) -> Any:
        """For a port: asks for a newer certificate with every connection."""
        return grpc.dynamic_ssl_server_credentials(self._read(), self._newer, False)

    def renew(self) -> None:
        """The next connection gets what lies in the files now."""
        self._renewed = self._read()

    def _newer(self) -> Any:
        renewed, self._renewed = self._renewed, None
        return renewed

    def _read(self) -> Any:
        pair = self._files.key.read_bytes(), self._files.certificate.read_bytes()
        return grpc.ssl_server_certificate_configuration([pair])


def listen(address: str, certificates: Certificates, doors: Doors, on_answer: OnAnswer) -> Listener:
    """A listener that holds its port, still without services. Raises InvalidInput."""
    interceptors = (Traced(on_answer), TypedErrors(), doors)
    server = grpc.aio.server(interceptors=interceptors, options=OPTIONS)
    shown = _ServerCertificates(certificates)
    try:
        port = server.add_secure_port(address, shown.credentials())
    except RuntimeError:
        host, _, number = address.rpartition(":")
        why = taken(host, int(number)) or "is not ours"
        raise InvalidInput(
            f"gRPC address {address} {why}: choose another with --grpc-listen"
        ) from None
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    return Listener(server, port, servicer, shown)


def add_services(
    listener: Listener,
    concepts: ConceptServicer,
    releases: ReleaseServicer,
    admin: AdminServiceServicer,
) -> None:
    """Puts the services behind the port."""
    add_ConceptServiceServicer_to_server(concepts, listener.server)
    add_ReleaseServiceServicer_to_server(releases, listener.server)
    add_AdminServiceServicer_to_server(admin, listener.server)
