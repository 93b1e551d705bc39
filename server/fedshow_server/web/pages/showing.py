"""Pages as the one who asks sees them, and what they are told when there is none."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from fedshow.roles import Role
from fedshow.web.assets import Assets
from fedshow.web.forgery import HARMLESS, proof_of
from fedshow.web.rendering import Renderer
from fedshow_server.services.doors import NotKnown
from fedshow_server.store import Node
from fedshow_server.web.concepts import picture_path, small_picture_path
from fedshow_server.web.pages.places import LINKS, SIGN_OUT, STATIC, sign_in_for
from fedshow_server.web.sessions import forget_session, session_of

HERE = Path(__file__).parent
SEE_OTHER = 303


class Gallery:
    """Shows pages."""

    def __init__(self, base: str) -> None:
        self.assets = Assets(STATIC)
        known = {"base": base, "Role": Role, "sign_out": SIGN_OUT}
        known |= {"picture_path": picture_path, "small_picture_path": small_picture_path}
        self._renderer = Renderer(self.assets, HERE / "templates", **known)

    def show(
        self, request: Request, template: str, status: int = 200, /, **content: Any
    ) -> Response:
        """The page; templates also know `node` and `csrf`, of who asks, and `links`."""
        node: Node | None = getattr(request.state, "visitor", None)
        session: str | None = getattr(request.state, "session", None)
        csrf, links = proof_of(session) if session else "", LINKS if node else ()
        about = {"node": node, "csrf": csrf, "links": links}
        return self._renderer.page(request, template, status, **about, **content)

    def refuse(self, request: Request, error: Exception, status: int) -> Response:
        """A page that says why there is none; whoever is not known is shown the way in."""
        if isinstance(error, NotKnown) and request.method in HARMLESS:
            answer = to(sign_in_for(request.scope["path"], request.url.query))
            if session_of(request) and "authorization" not in request.headers:
                forget_session(answer)  # a dead one would count as a wrong token with every request
            return answer
        content = {"title": HTTPStatus(status).phrase, "message": getattr(error, "detail", error)}
        return self.show(request, "gallery/refusal.html", status, **content)


def to(path: str) -> Response:
    """Sends the browser there."""
    return RedirectResponse(path, SEE_OTHER)
