"""`/api/drawings`: members order pictures of a release, see how far they are, and fetch or cancel them."""

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel

from fedshow.errors import Forbidden, NotFound
from fedshow.families.card import BaseCard
from fedshow_server.drawing.orders import DrawingOrder, check_order
from fedshow_server.settings import ServerSettings
from fedshow_server.store import Drawing, DrawingState, Store
from fedshow_server.web.bodies import read_body
from fedshow_server.web.caching import FOR_EVER
from fedshow_server.web.doors import visitor

MAX_ORDER_BYTES = 32 << 20
"""Masks and conditions are in it."""

NUMBER = re.compile("[1-9][0-9]?")
PICTURE = "/api/drawings/{drawing}/pictures/{number}"


class DrawingStatus(BaseModel):
    """One order, and how far it is."""

    id: str
    release: str
    state: DrawingState
    reason: str
    """Why it failed."""
    ahead: int
    """Unfinished drawings that come before it."""
    done_steps: int
    all_steps: int
    """0 before the first step."""
    created: datetime
    ended: datetime | None
    pictures: list[str]
    """Paths of the pictures, once they are there."""

    @classmethod
    def of(cls, drawing: Drawing, ahead: int) -> "DrawingStatus":
        """The drawing in the words of this interface."""
        done = drawing.state is DrawingState.DONE
        numbers = range(1, drawing.pictures + 1) if done else ()
        return cls(
            **{name: getattr(drawing, name) for name in ("id", "state", "reason", "ended")},
            **{name: getattr(drawing, name) for name in ("done_steps", "all_steps", "created")},
            release=drawing.release_id,
            ahead=ahead,
            pictures=[PICTURE.format(drawing=drawing.id, number=k) for k in numbers],
        )


def drawing_routes(
    store: Store, card: BaseCard, settings: ServerSettings, folder: Path, wake: Callable[[], None]
) -> APIRouter:
    """Orders of the member that asks; nobody sees those of others."""
    routes, shelf = APIRouter(), store.drawings

    def status(drawing: Drawing) -> DrawingStatus:
        waits = drawing.state is DrawingState.QUEUED
        return DrawingStatus.of(drawing, shelf.ahead(drawing) if waits else 0)

    def add(request: Request, order: DrawingOrder) -> DrawingStatus:
        if not settings.drawings_at_once:
            raise Forbidden("this server does not draw")
        node = visitor(request)
        release = store.releases.seen_by(node).get(order.release)
        check_order(order, release, card, settings)
        recipe = order.recipe.model_dump_json(exclude_none=True)
        pictures = order.recipe.n
        return status(shelf.add(node, release.id, recipe, pictures, settings.drawings_at_once))

    @routes.post("/api/drawings", status_code=202)
    async def order_drawing(request: Request) -> DrawingStatus:
        """Queues pictures. The body is JSON: `release` (an id or `latest`), and `recipe` as in pictures."""
        order = await read_body(request, DrawingOrder, MAX_ORDER_BYTES)
        found = await asyncio.to_thread(add, request, order)
        wake()
        return found

    @routes.get("/api/drawings")
    async def list_drawings(request: Request) -> list[DrawingStatus]:
        """The asker's drawings, newest first."""
        own = await asyncio.to_thread(shelf.of, visitor(request))
        return [await asyncio.to_thread(status, drawing) for drawing in own]

    @routes.get("/api/drawings/{drawing}")
    async def describe_drawing(request: Request, drawing: str) -> DrawingStatus:
        """One of them."""
        found = await asyncio.to_thread(shelf.get, visitor(request), drawing)
        return await asyncio.to_thread(status, found)

    @routes.delete("/api/drawings/{drawing}")
    async def cancel_drawing(request: Request, drawing: str) -> DrawingStatus:
        """Ends one of them, unless it has ended."""
        found = await asyncio.to_thread(shelf.cancel, visitor(request), drawing)
        return await asyncio.to_thread(status, found)

    @routes.get(PICTURE, response_class=Response)
    async def picture(request: Request, drawing: str, number: str) -> Response:
        """One picture, as PNG with its recipe; the first is number 1."""
        found = await asyncio.to_thread(shelf.get, visitor(request), drawing)
        path = folder / found.id / f"{number}.png"
        there = found.state is DrawingState.DONE and NUMBER.fullmatch(number) and path.is_file()
        if not there:
            raise NotFound(f"drawing {found.id} has no picture {number:.20}")
        return FileResponse(path, media_type="image/png", headers={"cache-control": FOR_EVER})

    return routes
