"""One HTTPS connection that sends targets and headers exactly as they are written."""

import ssl
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPSConnection
from types import TracebackType
from typing import Self

from benchmarks.federating.knocking.cast import Headers
from tests.stage.server import Server

PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class Answer:
    """Status, who wrote the answer, its body, and where it leads."""

    status: int
    ours: bool
    """The application's, not the HTTP library's about something that is no request."""
    body: bytes
    location: str = ""
    """Where it sends the caller."""

    def __str__(self) -> str:
        return f"{self.status} {self.body[:60]!r}"


class Line:
    """Opened anew when the server hangs up, as it does after what is no HTTP."""

    def __init__(self, server: Server) -> None:
        trust = ssl.create_default_context(cafile=str(server.data / "ca" / "ca.pem"))
        self._connection = HTTPSConnection(
            "127.0.0.1", server.port, context=trust, timeout=PATIENCE_SECONDS
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._connection.close()

    def send(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> Answer:
        """What comes back; status 0 for a connection that is cut instead.

        One that was kept may have ended while nobody spoke: what was sent into it is sent again.
        """
        kept = self._connection.sock is not None
        try:
            return self._sent(method, target, headers, body)
        except (BadStatusLine, OSError) as error:
            self._connection.close()
            if kept:
                return self.send(method, target, headers, body)
            return Answer(0, False, repr(error).encode())

    def _sent(self, method: str, target: str, headers: Headers, body: bytes) -> Answer:
        connection = self._connection
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        endless = answer.headers.get_content_type() == "text/event-stream"
        content = b"" if endless else answer.read()
        ours = answer.headers.get("x-request-id") is not None
        if endless or answer.will_close:
            connection.close()
        return Answer(answer.status, ours, content, answer.headers.get("location", ""))
