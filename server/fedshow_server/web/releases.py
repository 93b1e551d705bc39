"""`/api/releases`, what there is, and `/releases`, its files."""

import asyncio
from datetime import datetime
from typing import Self

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from fedshow.releases import FileEntry
from fedshow.releases.signing import Signature
from fedshow_server.releasing.signing import Signer
from fedshow_server.store import Release, Store
from fedshow_server.store.releases import LATEST
from fedshow_server.web.caching import ASK_AGAIN, FOR_EVER
from fedshow_server.web.concepts import IdentityInfo
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
    identity: dict[str, IdentityInfo]
    """What concepts keep of themselves in it, by name, as far as this server measured it."""


class SignedLatest(BaseModel):
    """What the server vouches for as its latest release, as over gRPC."""

    statement: str
    """JSON: `manifest_sha256`, null if none is the latest now, and `said`, the moment."""
    signature: Signature
    """Ed25519 over "fedshow latest release", a zero byte and the statement in UTF-8."""


def release_routes(store: Store, sender: FileSender, signer: Signer) -> APIRouter:
    """Lists and files; a release is an id, the first eight digits or more of one, or `latest`."""
    routes, releases = APIRouter(), store.releases

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
        measured = await asyncio.to_thread(store.showcase.identities, found.id)
        identity = {name: IdentityInfo.of(one) for name, one in measured.items()}
        summary = ReleaseSummary.of(found).model_dump()
        return ReleaseDetails(**summary, files=files, identity=identity)

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
