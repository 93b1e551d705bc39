"""Every HTTP request has an id, which its answer tells, and is accounted for when it ends."""

import time
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fedshow_server import calls
from fedshow_server.web.doors import POLICIES

LONGEST_PATH = 200
METHODS = frozenset(route.split()[0] for route in POLICIES)
NO_ROUTE = "no route"


class Traced:
    """The application with an id and a stop watch around it, even where it fails."""

    def __init__(self, app: ASGIApp, on_answer: calls.OnAnswer) -> None:
        self._app = app
        self._on_answer = on_answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path = scope.get("raw_path", b"").decode("ascii", "backslashreplace")[:LONGEST_PATH]
        host = scope["client"][0] if scope.get("client") else ""
        call, started = calls.begin(f"{scope['method']} {path}", host), time.monotonic()
        sending = _Sending(send, call.id)
        try:
            await self._app(scope, receive, sending)
        finally:
            seconds = time.monotonic() - started
            answered = calls.Answered(
                call, _method(scope), str(sending.status), seconds, sending.sent_bytes
            )
            calls.log_answer(answered)
            self._on_answer(answered)


@dataclass
class _Sending:
    """Sends on what the application answers, with the id."""

    send: Send
    id: str
    status: int = 500
    sent_bytes: int = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            head = [*message.get("headers", ()), (calls.HEADER.encode(), self.id.encode())]
            message = {**message, "headers": head}
        self.sent_bytes += len(message.get("body", b""))
        await self.send(message)


def _method(scope: Scope) -> str:
    """Method and route, never what was sent: strangers would make up ever new words."""
    path = getattr(scope.get("route"), "path", None)
    return f"{scope['method']} {path}" if path and scope["method"] in METHODS else NO_ROUTE
