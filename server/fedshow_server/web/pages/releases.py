"""The releases as a list, and a page for each with its files."""

import asyncio

from fastapi import APIRouter, Request, Response

from fedshow_server.store import Releases
from fedshow_server.web.doors import visitor
from fedshow_server.web.pages.places import RELEASES
from fedshow_server.web.pages.showing import Gallery


def release_pages(gallery: Gallery, releases: Releases) -> APIRouter:
    """What a member may see of the releases."""
    routes = APIRouter(include_in_schema=False)

    @routes.get(RELEASES)
    async def all_releases(request: Request) -> Response:
        shelf = releases.seen_by(visitor(request))
        found = await asyncio.to_thread(shelf.all)
        latest = await asyncio.to_thread(shelf.latest)
        return gallery.show(request, "gallery/releases.html", releases=found, latest=latest)

    @routes.get(RELEASES + "/{release}")
    async def one(request: Request, release: str) -> Response:
        shelf = releases.seen_by(visitor(request))
        found = await asyncio.to_thread(shelf.get, release)
        files = await asyncio.to_thread(shelf.files, found.id)
        return gallery.show(request, "gallery/release.html", release=found, files=files)

    return routes
