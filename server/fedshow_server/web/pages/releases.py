"""The releases as a list, and a page for each: what is in it, how good it is, and how to have it."""

import asyncio
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from fedshow.errors import NotFound
from fedshow_server.store import Node, Release, Store
from fedshow_server.store.releases import Shelf
from fedshow_server.web.archives import SUFFIX
from fedshow_server.web.doors import visitor
from fedshow_server.web.files import FileSender
from fedshow_server.web.pages.downloads import archive_of, name_of, ways_to_have
from fedshow_server.web.pages.places import RELEASES
from fedshow_server.web.pages.reports import PICTURES, heat, look_at_signature, read_report
from fedshow_server.web.pages.showing import Gallery


@dataclass(frozen=True)
class Difference:
    """What a release has that the one before it had not, and the other way round."""

    before: Release
    added: list[str]
    changed: list[str]
    removed: list[str]

    @classmethod
    def between(cls, before: Release, after: Release) -> "Difference":
        """From one to the other."""
        old, new = before.concepts, after.concepts
        both = old.keys() & new.keys()
        changed = sorted(name for name in both if old[name] != new[name])
        return cls(before, sorted(new.keys() - both), changed, sorted(old.keys() - both))


def release_pages(
    gallery: Gallery, store: Store, sender: FileSender, server: str, key: str
) -> APIRouter:
    """What a member may see of the releases; `key` is the one that this server signs with."""
    routes, releases, blobs = APIRouter(include_in_schema=False), store.releases, store.blobs

    def look(node: Node, reference: str) -> dict[str, Any]:
        shelf = releases.seen_by(node)
        found = shelf.get(reference)
        files = shelf.files(found.id)
        return {
            "release": found,
            "files": files,
            "latest": shelf.latest_id() == found.id,
            "difference": _difference(shelf, found),
            "identities": store.showcase.identities(found.id),
            "report": read_report(blobs, files),
            "pictures": {path: words for path, words in PICTURES.items() if path in files},
            "signed": look_at_signature(blobs, files, key),
            "ways": ways_to_have(found, files, server),
        }

    @routes.get(RELEASES)
    async def all_releases(request: Request) -> Response:
        shelf = releases.seen_by(visitor(request))
        found = await asyncio.to_thread(shelf.all)
        latest = await asyncio.to_thread(shelf.latest)
        return gallery.show(request, "gallery/releases.html", releases=found, latest=latest)

    @routes.get(RELEASES + "/{release}")
    async def one(request: Request, release: str) -> Response:
        content = await asyncio.to_thread(look, visitor(request), release)
        return gallery.show(request, "gallery/release.html", heat=heat, **content)

    @routes.get(RELEASES + "/{release}/{archive}")
    async def whole(request: Request, release: str, archive: str) -> Response:
        shelf = releases.seen_by(visitor(request))
        found = await asyncio.to_thread(shelf.get, release)
        if archive != f"{name_of(found)}{SUFFIX}":
            raise NotFound(f"release {found.id} has no {archive[:80]!r}")
        files = await asyncio.to_thread(shelf.files, found.id)
        return sender.archive(request, archive, archive_of(found, files))

    return routes


def _difference(shelf: Shelf, release: Release) -> Difference | None:
    """To the one before it that the viewer may have; None for the first."""
    earlier = (one for one in shelf.all() if one.sequence < release.sequence)
    before = next(earlier, None)
    return None if before is None else Difference.between(before, release)
