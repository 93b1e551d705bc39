"""One concept: how far it is, its samples, its loss, its leakage, and what may be done about it."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from fedshow.errors import NotFound
from fedshow_client.home import Home
from fedshow_client.page.showing import Pages
from fedshow_client.page.views import leakage_of, looks_of, loss_chart, sample_folder
from fedshow_client.queue import Queue
from fedshow_client.queue.rows import ACTIVE
from fedshow_client.status import read_status
from fedshow_client.status.facts import ConceptStatus
from fedshow_client.tuning.leakage.verdict import in_words
from fedshow_client.tuning.watching.sample_files import samples_of
from fedshow_client.tuning.watching.settings import SCALES

WITHDRAWABLE = {*(state.value for state in ACTIVE), "tuning", "failed", "held", "refused"}
RETRIED = ("failed", "held")


def concept_pages(pages: Pages, home: Home, queue: Queue) -> APIRouter:
    """A page for each job."""
    routes = APIRouter(prefix=pages.room)

    def status_of(job: int) -> ConceptStatus:
        queue.look_up(job)
        found = read_status(home.folder).concepts
        return next(concept for concept in found if concept.job == job)

    def look(job: int, step: str) -> dict[str, Any]:
        concept = status_of(job)
        gone = concept.state == "withdrawn"  # or soon, when the tuner has ended
        looks = [] if gone else looks_of(home, job)
        chosen = int(step) if step.isdecimal() and int(step) in looks else (looks or [0])[-1]
        samples = samples_of(sample_folder(home, job), chosen, concept.name) if looks else []
        last = queue.find(concept.name, concept.server).id == job
        leakage = leakage_of(home, concept)
        return {
            "concept": concept,
            "looks": looks,
            "look": chosen,
            "scales": SCALES,
            "samples": list(enumerate(samples)),
            "chart": "" if gone else loss_chart(home, job),
            "leakage": leakage,
            "leakage_says": "" if leakage is None else in_words(leakage),
            "waits": last and concept.state in ("queued", "tuning"),
            "retries": last and (concept.state in RETRIED or bool(_failed_try(concept))),
            "withdraws": last and concept.state in WITHDRAWABLE,
        }

    @routes.get("/jobs/{job:int}")
    async def show(request: Request, job: int) -> Response:
        content = await asyncio.to_thread(look, job, request.query_params.get("look", ""))
        return pages.show(request, "concept.html", **content)

    @routes.get("/jobs/{job:int}/withdraw")
    async def ask(request: Request, job: int) -> Response:
        concept = await asyncio.to_thread(status_of, job)
        return pages.show(request, "withdraw.html", concept=concept)

    @routes.get("/jobs/{job:int}/samples/{step:int}/{number:int}")
    async def sample(job: int, step: int, number: int) -> Response:
        files = samples_of(sample_folder(home, job), step, "")
        if number >= len(files) or not files[number].path.is_file():
            raise NotFound(f"no picture {number} after step {step}")
        return FileResponse(files[number].path, headers={"cache-control": "no-store"})

    return routes


def _failed_try(concept: ConceptStatus) -> str:
    """Why a job that waits for another try failed."""
    return concept.reason if concept.state == "queued" and concept.not_before else ""
