"""The gRPC port: TLS, the interceptors, the services and their health."""

from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from fedshow.errors import InvalidInput
from fedshow.rpc import SERVICES, TypedErrors
from fedshow.v1.concepts_pb2_grpc import add_ConceptServiceServicer_to_server
from fedshow.v1.releases_pb2_grpc import add_ReleaseServiceServicer_to_server
from fedshow_server.certificates import Certificates
from fedshow_server.services.concepts import ConceptServicer
from fedshow_server.services.doors import Doors
from fedshow_server.services.releases import ReleaseServicer

OPTIONS = (
    ("grpc.so_reuseport", 0),  # two servers on one port would share its calls
    (
        "grpc.http2.min_recv_ping_interval_without_data_ms",
        30_000,
    ),  # quiet watches send a ping a minute
    ("grpc.keepalive_permit_without_calls", 1),
)
DRAIN_SECONDS = 2.0


@dataclass(frozen=True)
class Listener:
    """A gRPC server that has its port."""

    server: Any
    port: int
    _health: health.HealthServicer

    async def start(self) -> None:
        """Takes calls; health says so only after `serving`."""
        await self.serving(False)
        await self.server.start()

    async def serving(self, yes: bool) -> None:
        """What the health service says from now on, for the whole and each service."""
        status = health_pb2.HealthCheckResponse.ServingStatus
        for service in ("", *SERVICES):
            await self._health.set(service, status.SERVING if yes else status.NOT_SERVING)

    async def stop(self) -> None:
        """Lets calls finish for a moment, then ends them."""
        await self._health.enter_graceful_shutdown()
        await self.server.stop(DRAIN_SECONDS)


def listen(address: str, certificates: Certificates, doors: Doors) -> Listener:
    """A listener that holds its port, still without services. Raises InvalidInput."""
    server = grpc.aio.server(interceptors=(TypedErrors(), doors), options=OPTIONS)
    credentials = grpc.ssl_server_credentials(
        [(certificates.key.read_bytes(), certificates.certificate.read_bytes())]
    )
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError:
        raise InvalidInput(
            f"gRPC address {address} is in use or not ours: choose another with --grpc-listen"
        ) from None
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    return Listener(server, port, servicer)


def add_services(listener: Listener, concepts: ConceptServicer, releases: ReleaseServicer) -> None:
    """Puts the services behind the port."""
    add_ConceptServiceServicer_to_server(concepts, listener.server)
    add_ReleaseServiceServicer_to_server(releases, listener.server)
