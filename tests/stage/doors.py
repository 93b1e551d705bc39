"""The two ports of a server without the server: whatever health, clock and certificate a test wants."""

import json
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from fedshow.wire import CA_PATH
from tests.stage.certificates import Certificates, make_certificates


@dataclass
class StandInDoors:
    """What they show and say."""

    certificates: Certificates = field(default_factory=make_certificates)
    clock_ahead_seconds: float = 0.0
    parts: dict[str, str] = field(default_factory=lambda: {"server": "ok"})
    grpc_serves: bool = True
    https_port: int = 0
    grpc_port: int = 0

    @property
    def https(self) -> str:
        return f"127.0.0.1:{self.https_port}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @contextmanager
    def open(self, folder: Path) -> Iterator[None]:
        """Inside, both are answered; `folder` takes the certificate's files."""
        with self.https_open(folder), self._grpc_open():
            yield

    @contextmanager
    def https_open(self, folder: Path) -> Iterator[None]:
        """Inside, HTTPS alone is answered."""
        certificate, key = folder / "door.pem", folder / "door.key"
        certificate.write_bytes(self.certificates.server)
        key.write_bytes(self.certificates.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server = ThreadingHTTPServer(("127.0.0.1", self.https_port), _handler(self))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self.https_port = server.server_address[1]
        serving = Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield
        finally:
            server.shutdown()
            serving.join()
            server.server_close()

    @contextmanager
    def _grpc_open(self) -> Iterator[None]:
        status = health_pb2.HealthCheckResponse
        servicer = health.HealthServicer()
        servicer.set("", status.SERVING if self.grpc_serves else status.NOT_SERVING)
        server = grpc.server(ThreadPoolExecutor(2))
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        credentials = grpc.ssl_server_credentials(
            [(self.certificates.key, self.certificates.server)]
        )
        self.grpc_port = server.add_secure_port(f"127.0.0.1:{self.grpc_port}", credentials)
        server.start()
        try:
            yield
        finally:
            server.stop(0).wait(10)


def _handler(doors: StandInDoors) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == CA_PATH:
                return self._answer(200, doors.certificates.ca)
            if self.path != "/healthz":
                return self._answer(404, b"{}")
            well = set(doors.parts.values()) == {"ok"}
            body = {"serving": well, "parts": doors.parts}
            return self._answer(200 if well else 503, json.dumps(body).encode())

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def date_time_string(self, timestamp: float | None = None) -> str:
            del timestamp
            return formatdate(time.time() + doors.clock_ahead_seconds, usegmt=True)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
