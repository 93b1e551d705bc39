"""What the buttons do: the same as `fedshow client pause`, `resume`, `priority`, `retry` and `withdraw`."""

import asyncio
from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from fedshow.errors import InvalidInput
from fedshow.web.forms import read_form
from fedshow_client.home import Home
from fedshow_client.page.showing import Pages
from fedshow_client.page.typed import number
from fedshow_client.queue import Job, Queue
from fedshow_client.withdrawing import withdraw

PATIENCE_SECONDS = 10.0
"""With a server that does not answer, when a concept is taken back from it."""


def steering_routes(pages: Pages, home: Home, queue: Queue) -> APIRouter:
    """Everything that changes what the daemon does with concepts that are there."""
    routes = APIRouter(prefix=pages.room)

    def newest(job_id: int) -> Job:
        """The job, as long as it is its concept's last; raises NotFound, InvalidInput."""
        job = queue.look_up(job_id)
        last = queue.find(job.name, job.server)
        if last.id != job.id:
            raise InvalidInput(f"concept {job.name!r} was added again as job {last.id}: steer that")
        return job

    def take_out(job_id: int) -> None:
        job = newest(job_id)
        withdraw(job.name, job.server, home.folder, PATIENCE_SECONDS, on_wait=lambda *_: None)

    def steer(job_id: int, what: str, fields: Mapping[str, str]) -> None:
        job = newest(job_id)
        if what in ("pause", "resume"):
            queue.pause(job, paused=what == "pause")
        elif what == "priority":
            queue.prioritise(job, number(fields, "priority", int) or 0)
        elif what in ("retry", "start-over"):
            forget = what == "start-over"
            queue.retry(job, before=lambda: home.forget_job(job.id) if forget else None)
        else:
            raise InvalidInput(f"nothing is called {what!r} here")

    @routes.post("/pause")
    async def pause() -> Response:
        await asyncio.to_thread(queue.pause_all)
        return pages.to("")

    @routes.post("/resume")
    async def resume() -> Response:
        await asyncio.to_thread(queue.pause_all, paused=False)
        return pages.to("")

    @routes.post("/jobs/{job:int}/withdraw")
    async def take_back(job: int) -> Response:
        await asyncio.to_thread(take_out, job)
        return pages.to(f"/jobs/{job}")

    @routes.post("/jobs/{job:int}/{what}")
    async def change(request: Request, job: int, what: str) -> Response:
        fields = await read_form(request)
        await asyncio.to_thread(steer, job, what, fields)
        return pages.to(f"/jobs/{job}")

    return routes
