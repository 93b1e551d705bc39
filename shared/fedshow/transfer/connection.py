"""A gRPC channel to one server: its own certificate authority only, our token on every call."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # the core's own log lines help nobody here

from fedshow.errors import Exhausted, Unreachable
from fedshow.rpc import DEADLINE_SECONDS, open_channel, typed_errors
from fedshow.transfer.servers import KnownServer
from fedshow.v1.admin_pb2_grpc import AdminServiceStub
from fedshow.v1.concepts_pb2_grpc import ConceptServiceStub
from fedshow.v1.releases_pb2_grpc import ReleaseServiceStub

STREAM_SECONDS = 300.0
"""A stream ends by itself after this long and is taken up again: a dead peer is noticed."""


class Connection:
    """The services of one server; safe to share between threads."""

    def __init__(self, server: KnownServer) -> None:
        self.server = server
        self._channel = open_channel(server.grpc, server.ca_pem.encode(), server.token)
        self._closed = False
        self.releases = ReleaseServiceStub(self._channel)
        self.concepts = ConceptServiceStub(self._channel)
        self.admin = AdminServiceStub(self._channel)

    def call(self, method: Any, request: Any) -> Any:
        """The reply to one call; raises the server's own typed errors, or Unreachable."""
        with self.translated():
            return method(request, timeout=DEADLINE_SECONDS)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turns gRPC's errors inside the block into ours; names the server that does not answer."""
        try:
            with typed_errors():
                yield
        except Exhausted:  # it does answer
            raise
        except Unreachable as error:
            says = f"{self.server.grpc} does not answer: {error}"
            raise Unreachable(says).then(f"fedshow doctor --server {self.server.name}") from error
        except ValueError:
            if not self._closed:
                raise
            raise Unreachable("the connection was closed") from None

    def close(self) -> None:
        """Ends every call that is under way."""
        self._closed = True
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
