"""`/gallery/live`: what is being fused, drawn and handed over now, and what happened."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from fedshow_server.store import Node
from fedshow_server.web.doors import visitor
from fedshow_server.web.feed import Feed, words_of
from fedshow_server.web.files import BreakingStream
from fedshow_server.web.pages.places import EVENTS, LIVE
from fedshow_server.web.pages.showing import Gallery

ENTRIES, MOST_DIGITS = 50, 9
NOBODY_KEEPS_IT = {"cache-control": "no-store", "x-accel-buffering": "no"}


def live_pages(gallery: Gallery, feed: Feed) -> APIRouter:
    """The page, and the events that keep it true."""
    routes = APIRouter(include_in_schema=False)

    def look(node: Node) -> dict[str, Any]:
        entries = feed.history.last(node, ENTRIES)
        position = entries[-1].position if entries else 0
        happened = [words_of(entry) for entry in reversed(entries)]
        return {"now": feed.activity.now(node), "happened": happened, "position": position}

    async def one_more(request: Request) -> AsyncIterator[None]:
        with feed.one_more(visitor(request)):
            yield

    @routes.get(LIVE)
    async def live(request: Request) -> Response:
        content = await asyncio.to_thread(look, visitor(request))
        most = {"most": ENTRIES, "events": EVENTS}
        return gallery.show(request, "gallery/live.html", **most, **content)

    @routes.get(EVENTS, dependencies=[Depends(one_more)])
    async def events(request: Request) -> Response:
        after = request.headers.get("last-event-id") or request.query_params.get("after", "")
        after = after[:MOST_DIGITS]
        position = int(after) if after.isascii() and after.isdigit() else 0
        content = feed.events(visitor(request), position)
        return BreakingStream(content, 200, NOBODY_KEEPS_IT, "text/event-stream")

    return routes
