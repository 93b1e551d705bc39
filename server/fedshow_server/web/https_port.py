"""The HTTPS port: held before anything else starts, served inside the server's own loop."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn
from starlette.types import ASGIApp

from fedshow.errors import InvalidInput
from fedshow.ports import holder_of, listening
from fedshow_server.layout import Certificates

BACKLOG = 1024


def hold_port(host: str, port: int) -> socket.socket:
    """A listening socket. Raises InvalidInput when the address cannot be had."""
    try:
        return listening(host, port, BACKLOG)
    except (OSError, OverflowError) as error:
        raise InvalidInput(
            f"cannot listen on {host}:{port} ({_why(error, port)}): choose another address with "
            "--listen"
        ) from None


def _why(error: OSError | OverflowError, port: int) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"in use by {holder_of(port)}"
    return str(getattr(error, "strerror", error))


class HttpsServer(uvicorn.Server):
    """Uvicorn inside our loop: signals are ours, and cancelling ends it in order."""

    def __init__(self, app: ASGIApp, certificates: Certificates, drain_seconds: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                ssl_certfile=str(certificates.certificate),
                ssl_keyfile=str(certificates.key),
                timeout_graceful_shutdown=drain_seconds,
            )
        )
        self._certificates = certificates
        self._serving: asyncio.Future[None] | None = None

    def renew(self) -> None:
        """Takes the certificate that lies in its place now; connections stay."""
        if self.config.ssl is not None:
            files = self._certificates
            self.config.ssl.load_cert_chain(files.certificate, files.key)

    async def drain(self) -> None:
        """Takes no more requests; returns when those that run are answered or out of time."""
        self.should_exit = True
        if self._serving is not None:
            await asyncio.wait((self._serving,))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to the whole server."""
        yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until cancelled."""
        serving = self._serving = asyncio.ensure_future(super().serve(sockets))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            self.should_exit = True
            with suppress(Exception):
                await serving
            raise
