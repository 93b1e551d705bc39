"""Who may ask the page anything: browsers of this machine that were shown in, from the page itself."""

from fastapi import Request, Response
from fastapi.responses import PlainTextResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fedshow.errors import Forbidden
from fedshow.web.forgery import FIELD, HARMLESS, HEADER, check_origin, check_proof
from fedshow.web.forms import read_form
from fedshow_client.page.entering import HOST
from fedshow_client.page.passes import Passes

COOKIE = "fedshow-page"
"""Without the prefix `__Host-` and the flag Secure, which ask for https: nobody signs a certificate for
127.0.0.1. What they would give is given by the path, see `Entering.room`; the way is inside this machine."""

MISDIRECTED, NOT_HERE = 421, 404


class NotSignedIn(Forbidden):
    """No session, or one that has ended."""


class LoopbackOnly:
    """The application for those who call it by its own name, and know its room.

    A page from elsewhere whose name is made to mean 127.0.0.1 (DNS rebinding) shows its own name as
    Host. Answers without a word about keeping are kept by nobody.
    """

    def __init__(self, app: ASGIApp, port: int, room: str) -> None:
        self._app, self._room = app, room
        self._hosts = [[f"{HOST}:{port}"], [f"localhost:{port}"]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        assert scope["type"] == "http"
        if refusal := self._refusal(scope):
            await refusal(scope, receive, send)
            return

        async def send_unkept(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, send_unkept)

    def _refusal(self, scope: Scope) -> Response | None:
        """Says nothing of what is here."""
        if Headers(scope=scope).getlist("host") not in self._hosts:
            return PlainTextResponse("this is not the host you asked for\n", MISDIRECTED)
        if not f"{scope['path']}/".startswith(f"{self._room}/"):
            return PlainTextResponse("fedshow client page prints the address\n", NOT_HERE)
        return None


class Door:
    """A dependency of every route but those of signing in: lets a request in, or raises Forbidden."""

    def __init__(self, sessions: Passes) -> None:
        self._sessions = sessions

    async def __call__(self, request: Request) -> None:
        """The request goes on; its state knows the session."""
        session = request.cookies.get(COOKIE)
        if session is None or not self._sessions.hold(session):
            raise NotSignedIn("sign in first")
        if request.method in HARMLESS:
            _check_reader(request)
        else:
            check_origin(request.headers)
            shown = request.headers.get(HEADER) or (await read_form(request)).get(FIELD)
            check_proof(session, shown)
        request.state.session = session


def _check_reader(request: Request) -> None:
    """Raises Forbidden for what another page, maybe of another port, builds into itself."""
    site = request.headers.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none") and request.headers.get("sec-fetch-mode") != "navigate":
        raise Forbidden("this request does not come from a page of this server")


def keep_session(answer: Response, session: str, seconds: float, room: str) -> None:
    """The browser shows the session from now on, below `room`, and not to scripts."""
    answer.set_cookie(
        COOKIE, session, max_age=int(seconds), path=room, httponly=True, samesite="strict"
    )


def forget_session(answer: Response, room: str) -> None:
    """The browser shows none any more."""
    answer.delete_cookie(COOKIE, path=room, httponly=True, samesite="strict")
