"""A wire that counts: what goes through it in each direction, and how much of that is TLS' own."""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Self

BLOCK_BYTES = 1 << 16
HEADER_BYTES = 5
DATA = 23
SEAL_BYTES = 1 + 16
"""What TLS 1.3 adds inside of a record of data: its type and the tag."""


@dataclass
class Counted:
    """One direction of all connections."""

    wire_bytes: int = 0
    data_bytes: int = 0
    """What TLS carried: HTTP and protobuf, and the sealed part of each handshake."""

    def since(self, earlier: "Counted") -> "Counted":
        """What came on top."""
        wire, data = self.wire_bytes - earlier.wire_bytes, self.data_bytes - earlier.data_bytes
        return Counted(wire, data)


class _Records:
    """Follows TLS' records in one direction of one connection."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted
        self._header = bytearray()
        self._left = 0

    def take(self, block: bytes) -> None:
        """Counts the next bytes."""
        self._counted.wire_bytes += len(block)
        while block:
            if self._left:
                self._left, block = max(0, self._left - len(block)), block[self._left :]
                continue
            missing = HEADER_BYTES - len(self._header)
            self._header += block[:missing]
            block = block[missing:]
            if len(self._header) == HEADER_BYTES:
                self._left = int.from_bytes(self._header[3:], "big")
                if self._header[0] == DATA:
                    self._counted.data_bytes += self._left - SEAL_BYTES
                self._header.clear()


class Relay(ThreadingTCPServer):
    """Stands before a port on loopback; connections pass through unread."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, onward: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.onward = onward
        self.up, self.down = Counted(), Counted()
        self.port = int(self.server_address[1])

    def counts(self) -> tuple[Counted, Counted]:
        """What clients have sent and received so far."""
        return replace(self.up), replace(self.down)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Passing(BaseRequestHandler):
    server: Relay

    def handle(self) -> None:
        client: socket.socket = self.request
        with socket.create_connection(("127.0.0.1", self.server.onward)) as onward:
            back = threading.Thread(target=_copy, args=(onward, client, self.server.down))
            back.start()
            _copy(client, onward, self.server.up)
            back.join()


def _copy(source: socket.socket, target: socket.socket, counted: Counted) -> None:
    """Until one side ends; then the other is told."""
    records = _Records(counted)
    with suppress(OSError):
        while block := source.recv(BLOCK_BYTES):
            records.take(block)
            target.sendall(block)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
