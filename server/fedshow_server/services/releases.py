"""ReleaseService: which releases there are, word of the next one, and their bytes."""

# ruff: noqa: N802, ARG002  # names and signatures are the contract's

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import Any

from fedshow.errors import InvalidInput
from fedshow.releases import FileEntry
from fedshow.v1 import releases_pb2 as pb
from fedshow.v1.releases_pb2_grpc import ReleaseServiceServicer
from fedshow.wire import CHUNK_BYTES
from fedshow_server.releasing.news import News
from fedshow_server.releasing.signing import Signer
from fedshow_server.services.doors import caller
from fedshow_server.store import Release, Store
from fedshow_server.store.content import read_content
from fedshow_server.store.releases import LATEST, Shelf

NO_FILES: Mapping[str, FileEntry] = MappingProxyType({})


class ReleaseServicer(ReleaseServiceServicer):
    """Answers from the store; streams cost no thread while they wait."""

    def __init__(self, store: Store, news: News, signer: Signer) -> None:
        self._releases = store.releases
        self._blobs = store.blobs
        self._news = news
        self._signer = signer

    async def ListReleases(
        self, request: pb.ListReleasesRequest, context: Any
    ) -> pb.ListReleasesResponse:
        """All releases that the caller may have, newest first, without their files."""
        found = await asyncio.to_thread(self._shelf().all)
        return pb.ListReleasesResponse(releases=map(message_of, found))

    async def GetRelease(
        self, request: pb.GetReleaseRequest, context: Any
    ) -> pb.GetReleaseResponse:
        """One release with its files."""
        shelf = self._shelf()
        found = await asyncio.to_thread(shelf.get, request.release)
        files = await asyncio.to_thread(shelf.files, found.id)
        latest = self._signed(found) if request.release == LATEST else None
        return pb.GetReleaseResponse(release=message_of(found, files), latest=latest)

    async def WatchReleases(
        self, request: pb.WatchReleasesRequest, context: Any
    ) -> AsyncIterator[pb.WatchReleasesResponse]:
        """The latest release at once, then whatever takes its place; an empty answer for none."""
        told: str | None = ""  # nothing yet, not even that there is none
        while True:
            latest = await self._news.other_than(told, caller())
            told = latest.id if latest else None
            message = message_of(latest) if latest else None
            yield pb.WatchReleasesResponse(release=message, latest=self._signed(latest))

    async def DownloadFile(
        self, request: pb.DownloadFileRequest, context: Any
    ) -> AsyncIterator[pb.DownloadFileResponse]:
        """The bytes asked for."""
        size = await asyncio.to_thread(self._shelf().file_size, request.sha256)
        start, length = request.offset_bytes, request.length_bytes
        end = start + length if length else max(start, size)
        if end > size:
            raise InvalidInput(f"offset {start}, length {length}: the file has {size} bytes")
        content = read_content(self._blobs, request.sha256, start, end, CHUNK_BYTES)
        async with aclosing(content):
            async for chunk in content:
                yield pb.DownloadFileResponse(chunk=chunk)

    def _shelf(self) -> Shelf:
        return self._releases.seen_by(caller())

    def _signed(self, release: Release | None) -> pb.SignedLatest:
        statement, signature = self._signer.say_latest(release)
        return pb.SignedLatest(statement=statement, signature=signature)


def message_of(release: Release, files: Mapping[str, FileEntry] = NO_FILES) -> pb.Release:
    """The release in the contract's words."""
    message = pb.Release(
        id=release.id,
        base_sha256=release.base_sha256,
        concepts=list(release.concepts),
        manifest_sha256=release.manifest_sha256,
        files=[
            pb.ReleaseFile(path=path, size_bytes=entry.size_bytes, sha256=entry.sha256)
            for path, entry in files.items()
        ],
        withdrawn=release.withdrawn,
    )
    message.created.FromDatetime(release.created)
    return message
