"""Pages as this user sees them, and what they are told when there is none."""

from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from fedshow.web.assets import Assets
from fedshow.web.forgery import HARMLESS, proof_of
from fedshow.web.links import Link
from fedshow.web.rendering import Renderer
from fedshow_client.page.door import NotSignedIn
from fedshow_client.page.entering import SIGN_IN
from fedshow_client.page.labels import label_of
from fedshow_client.status.showing import duration

HERE = Path(__file__).parent
SEE_OTHER = 303


class Pages:
    """Shows them; everything lies below the path `room`."""

    def __init__(self, room: str) -> None:
        self.room = room
        self.assets = Assets(f"{room}/static", HERE / "static")
        self._links = (
            Link("Concepts", room, f"{room}/jobs"),
            Link("Add a folder", f"{room}/folders", f"{room}/folders"),
            Link("History", f"{room}/history", f"{room}/history"),
        )
        self._renderer = Renderer(
            self.assets,
            HERE / "templates",
            room=room,
            home=room,
            when=lambda seconds: datetime.fromtimestamp(seconds, UTC),
            duration=duration,
            label_of=label_of,
            short=short,
        )

    def show(
        self, request: Request, template: str, status: int = 200, /, **content: Any
    ) -> Response:
        """The page; templates also know `csrf` and `links`."""
        session: str | None = getattr(request.state, "session", None)
        about = {"csrf": proof_of(session), "links": self._links} if session else {}
        return self._renderer.page(
            request, f"page/{template}", status, **{"csrf": "", "links": (), **about, **content}
        )

    def refuse(self, request: Request, error: Exception, status: int) -> Response:
        """A page that says why there is none; whoever is not signed in is told how to."""
        if isinstance(error, NotSignedIn) and request.method in HARMLESS:
            return self.to(SIGN_IN)
        message = getattr(error, "detail", error)
        content = {"title": HTTPStatus(status).phrase, "message": message}
        return self.show(request, "refusal.html", status, **content)

    def to(self, path: str) -> Response:
        """Sends the browser to this path of the room."""
        return RedirectResponse(f"{self.room}{path}", SEE_OTHER)


def short(path: Path | str) -> str:
    """A path as people write it, from their home."""
    try:
        return str(Path("~") / Path(path).relative_to(Path.home()))
    except ValueError:
        return str(path)
