"""Adding a concept: choose a folder, see what is found in it, start."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from fastapi import APIRouter, Request, Response

from fedshow.errors import FedshowError, InvalidInput
from fedshow.transfer.servers import KnownServer, known_servers
from fedshow.web.forms import read_form
from fedshow.web.statuses import status_of
from fedshow_client.adding import Wishes, check_contributes, one_server, queue_concept
from fedshow_client.home import Home
from fedshow_client.page.browsing import Listing, listing, query_of
from fedshow_client.page.looking import LookedAt, Looks
from fedshow_client.page.showing import Pages
from fedshow_client.page.typed import number, words
from fedshow_client.queue import Job, Queue

FLIPS = {"": None, "yes": True, "no": False}
NUMBERS = ("steps", "seed", "rank")
FIELDS = ("name", "class", *NUMBERS, "flip", "set", "priority", "max_leakage", "visible_to")


def folder_pages(pages: Pages, home: Home, queue: Queue) -> APIRouter:
    """From a folder to a queued concept."""
    routes, looks = APIRouter(prefix=pages.room), Looks()

    def choose(
        request: Request, at: str, server: str, fault: FedshowError | None = None
    ) -> Response:
        servers = [one for one in known_servers(home.folder) if one.role.contributes]
        shown = _listed(at)
        status = status_of(fault) if fault else 200
        content = {"servers": servers, "listing": shown, "query_of": query_of, "typed": at}
        content["chosen"] = server
        return pages.show(request, "folders.html", status, fault=fault, **content)

    def show(
        request: Request, looked: LookedAt, typed: Mapping[str, str], fault: FedshowError | None
    ) -> Response:
        content = {"look": looked, "typed": {name: typed.get(name, "") for name in FIELDS}}
        return pages.show(
            request, "folder.html", status_of(fault) if fault else 200, fault=fault, **content
        )

    def look(fields: Mapping[str, str]) -> LookedAt:
        server = one_server(fields.get("server") or None, home.folder)
        check_contributes(server)
        return looks.look(_typed_folder(fields), server)

    def start(looked: LookedAt, fields: Mapping[str, str]) -> Job:
        name, class_word = fields.get("name", "").strip(), fields.get("class", "").strip()
        server: KnownServer = one_server(looked.server.name, home.folder)
        return queue_concept(queue, server, looked.folder, name, class_word, wishes(fields)).job

    @routes.get("/folders")
    async def offer(request: Request) -> Response:
        asked = request.query_params
        at, server = asked.get("at", ""), asked.get("server", "")
        return await asyncio.to_thread(choose, request, at, server)

    @routes.post("/folders")
    async def look_at(request: Request) -> Response:
        fields = await read_form(request)
        try:
            looked = await asyncio.to_thread(look, fields)
        except FedshowError as error:
            at, server = fields.get("folder", ""), fields.get("server", "")
            return await asyncio.to_thread(choose, request, at, server, error)
        return pages.to(f"/folders/{looked.id}")

    @routes.get("/folders/{look_id}")
    async def found(request: Request, look_id: str) -> Response:
        return show(request, looks.get(look_id), {}, None)

    @routes.get("/folders/{look_id}/pictures/{picture:int}")
    async def picture(look_id: str, picture: int) -> Response:
        content = await asyncio.to_thread(looks.thumbnail, look_id, picture)
        return Response(content, media_type="image/jpeg", headers={"cache-control": "no-store"})

    @routes.post("/folders/{look_id}")
    async def add(request: Request, look_id: str) -> Response:
        looked, fields = looks.get(look_id), await read_form(request)
        try:
            job = await asyncio.to_thread(start, looked, fields)
        except FedshowError as error:
            return show(request, looked, fields, error)
        return pages.to(f"/jobs/{job.id}")

    return routes


def wishes(fields: Mapping[str, str]) -> Wishes:
    """What the form asks for beside name and class; raises InvalidInput."""
    flip = fields.get("flip", "")
    if flip not in FLIPS:
        raise InvalidInput(f"flip = {flip[:40]!r}: yes, no or empty")
    named = {name: number(fields, name, int) for name in NUMBERS}
    limit = number(fields, "max_leakage", float)
    if limit is not None and not 0 <= limit <= 1:
        raise InvalidInput(f"max_leakage = {limit:g}: from 0 to 1")
    return Wishes(
        named={**named, "flip": FLIPS[flip]},
        changes=words(fields, "set"),
        max_leakage=limit,
        priority=number(fields, "priority", int) or 0,
        visible_to=words(fields, "visible_to"),
    )


def _typed_folder(fields: Mapping[str, str]) -> Path:
    """Raises InvalidInput for what is no whole path."""
    said = fields.get("folder", "").strip()
    try:
        folder = Path(said).expanduser()
    except RuntimeError as error:  # ~somebody
        raise InvalidInput(f"{said[:80]!r}: {error}") from None
    if not folder.is_absolute() or "\0" in said:
        raise InvalidInput(f"{said[:80]!r}: say the whole path, from / or ~")
    return folder


def _listed(at: str) -> Listing:
    """Of the folder that was asked for, or of the home when that is none to be listed."""
    try:
        return listing(Path.home(), at)
    except FedshowError:
        return listing(Path.home(), "")
