"""What the daemon does now, the concepts that there are, and what there was."""

import asyncio

from fastapi import APIRouter, Request, Response

from fedshow_client.home import Home
from fedshow_client.page.showing import Pages
from fedshow_client.page.views import looks_of
from fedshow_client.queue import Queue
from fedshow_client.status import ClientStatus, read_status
from fedshow_client.status.facts import ConceptStatus
from fedshow_client.status.showing import newest

MOST_RELEASES = 50


def overview_pages(pages: Pages, home: Home, queue: Queue) -> APIRouter:
    """The first page, and the history."""
    routes = APIRouter(prefix=pages.room)

    def seen(found: ClientStatus) -> dict[int, int]:
        """The last look at each concept that has samples."""
        looks = {concept.job: looks_of(home, concept.job) for concept in found.concepts}
        return {job: steps[-1] for job, steps in looks.items() if steps}

    @routes.get("")
    async def overview(request: Request) -> Response:
        found = await asyncio.to_thread(read_status, home.folder)
        shown = [one for one in newest(found.concepts) if one.state != "withdrawn"]
        content = {"status": found, "concepts": shown, "now": _doing(found), "looks": seen(found)}
        return pages.show(request, "overview.html", **content)

    @routes.get("/history")
    async def history(request: Request) -> Response:
        found = await asyncio.to_thread(read_status, home.folder)
        concepts = sorted(found.concepts, key=lambda concept: -concept.added)
        releases = [
            release
            for server in found.servers
            for release in queue.releases_seen(server.name)[:MOST_RELEASES]
        ]
        return pages.show(request, "history.html", concepts=concepts, releases=releases)

    return routes


def _doing(found: ClientStatus) -> ConceptStatus | None:
    """What is being tuned."""
    return next((concept for concept in found.concepts if concept.state == "tuning"), None)
