"""A proxy that owns the server's certificate: it passes everything on and keeps what clients send."""

import asyncio
import ssl
import threading
from contextlib import suppress
from pathlib import Path


class Recorder:
    """TLS proxies on loopback that keep what clients send."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate, self._key = certificate, key
        self._streams: list[bytearray] = []
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def stand_before(self, address: str, protocol: str) -> str:
        """Opens a proxy for a server's port; gives the address to use instead."""
        opening = self._open(address, protocol)
        return asyncio.run_coroutine_threadsafe(opening, self._loop).result(30)

    def sent(self) -> list[bytes]:
        """What clients sent, one entry a connection."""
        return [bytes(stream) for stream in self._streams]

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self, address: str, protocol: str) -> str:
        host, _, port = address.partition(":")
        inward, outward = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        inward.load_cert_chain(self._certificate, self._key)
        outward.check_hostname, outward.verify_mode = False, ssl.CERT_NONE
        for context in (inward, outward):
            context.set_alpn_protocols([protocol])

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task
            self._tasks.add(task)
            stream = bytearray()
            self._streams.append(stream)
            with suppress(OSError, asyncio.CancelledError):
                onward = await asyncio.open_connection(host, int(port), ssl=outward)
                await _join((reader, writer), onward, stream)
            writer.transport.abort()
            self._tasks.discard(task)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=inward)
        self._servers.append(server)
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.2)  # transports close in their own time


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _join(client: Ends, server: Ends, sent: bytearray) -> None:
    """Passes bytes both ways until one side ends."""
    copies = (
        asyncio.create_task(_copy(client[0], server[1], sent)),
        asyncio.create_task(_copy(server[0], client[1], bytearray())),
    )
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        server[1].transport.abort()


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray
) -> None:
    while block := await reader.read(1 << 16):
        kept += block
        writer.write(block)
        await writer.drain()
