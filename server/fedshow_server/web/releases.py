"""`/api/releases`, what there is, and `/releases`, its files."""

import asyncio
from datetime import datetime
from typing import Self

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from fedshow.releases import FileEntry
from fedshow.releases.signing import Signature
from fedshow_server.releasing.signing import Signer
from fedshow_server.store import Release, Releases
from fedshow_server.store.releases import LATEST
from fedshow_server.web.caching import ASK_AGAIN, FOR_EVER
from fedshow_server.web.doors import visitor
from fedshow_server.web.files import FileSender


class ReleaseSummary(BaseModel):
    """One release, without its files."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    created: datetime
    base_sha256: str
    concepts: list[str]
    withdrawn: list[str]
    """Those of its concepts that were withdrawn since: with any, it is not `latest`."""
    manifest_sha256: str

    @classmethod
    def of(cls, release: Release) -> Self:
        """The release in the words of this interface."""
        return cls.model_validate({**vars(release), "concepts": list(release.concepts)})


class ReleaseDetails(ReleaseSummary):
    """One release with every file by path, manifest.json among them."""

    files: dict[str, FileEntry]


class SignedLatest(BaseModel):
    """What the server vouches for as its latest release, as over gRPC."""

    statement: str
    """JSON: `manifest_sha256`, null if none is the latest now, and `said`, the moment."""
    signature: Signature
    """Ed25519 over "fedshow latest release", a zero byte and the statement in UTF-8."""


def release_routes(releases: Releases, sender: FileSender, signer: Signer) -> APIRouter:
    """Lists and files; a release is an id, the first eight digits or more of one, or `latest`."""
    routes = APIRouter()

    @routes.get("/api/releases")
    async def list_releases(request: Request) -> list[ReleaseSummary]:
        """All releases that the asker may have, newest first."""
        shelf = releases.seen_by(visitor(request))
        return [ReleaseSummary.of(found) for found in await asyncio.to_thread(shelf.all)]

    @routes.get("/api/releases/{release}")
    async def describe_release(request: Request, release: str) -> ReleaseDetails:
        """One release with its files."""
        shelf = releases.seen_by(visitor(request))
        found = await asyncio.to_thread(shelf.get, release)
        files = await asyncio.to_thread(shelf.files, found.id)
        return ReleaseDetails(**ReleaseSummary.of(found).model_dump(), files=files)

    @routes.get("/api/latest")
    async def latest(request: Request) -> SignedLatest:
        """Which release is the latest, signed now."""
        found = await asyncio.to_thread(releases.seen_by(visitor(request)).latest)
        statement, signature = signer.say_latest(found)
        return SignedLatest(statement=statement.decode(), signature=Signature.parse(signature))

    @routes.api_route(
        "/releases/{release}/{path:path}", methods=["GET", "HEAD"], response_class=Response
    )
    async def download(request: Request, release: str, path: str) -> Response:
        """One file, or the range of it that was asked for; its ETag is its sha256."""
        shelf = releases.seen_by(visitor(request))
        found = await asyncio.to_thread(shelf.get, release)
        entry = await asyncio.to_thread(shelf.file, found.id, path)
        headers = {
            "cache-control": ASK_AGAIN if release == LATEST else FOR_EVER,
            "content-location": f"/releases/{found.id}/{path}",
        }
        return sender.answer(request, path, entry, headers)

    return routes
