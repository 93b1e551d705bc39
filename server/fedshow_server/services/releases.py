"""ReleaseService: which releases there are, word of the next one, and their bytes."""

# ruff: noqa: N802, ARG002  # names and signatures are the contract's

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fedshow.errors import InvalidInput
from fedshow.v1 import releases_pb2 as pb
from fedshow.v1.releases_pb2_grpc import ReleaseServiceServicer
from fedshow.wire import CHUNK_BYTES
from fedshow_server.news import News
from fedshow_server.store import Release, Store


class ReleaseServicer(ReleaseServiceServicer):
    """Answers from the store; streams cost no thread while they wait."""

    def __init__(self, store: Store, news: News) -> None:
        self._releases = store.releases
        self._blobs = store.blobs
        self._news = news

    async def ListReleases(
        self, request: pb.ListReleasesRequest, context: Any
    ) -> pb.ListReleasesResponse:
        """All releases, newest first, without their files."""
        found = await asyncio.to_thread(self._releases.all)
        messages = [message_of(release, with_files=False) for release in found]
        return pb.ListReleasesResponse(releases=messages)

    async def GetRelease(
        self, request: pb.GetReleaseRequest, context: Any
    ) -> pb.GetReleaseResponse:
        """One release with its files."""
        found = await asyncio.to_thread(self._releases.get, request.release)
        return pb.GetReleaseResponse(release=message_of(found))

    async def WatchReleases(
        self, request: pb.WatchReleasesRequest, context: Any
    ) -> AsyncIterator[pb.WatchReleasesResponse]:
        """The latest release, then each new one."""
        latest = await asyncio.to_thread(self._releases.latest)
        told = latest.sequence if latest else 0
        if latest:
            yield pb.WatchReleasesResponse(release=message_of(latest))
        while True:
            reached = await self._news.later_than(told)
            for release in await asyncio.to_thread(self._releases.since, told):
                yield pb.WatchReleasesResponse(release=message_of(release))
                reached = max(reached, release.sequence)
            told = reached

    async def DownloadFile(
        self, request: pb.DownloadFileRequest, context: Any
    ) -> AsyncIterator[pb.DownloadFileResponse]:
        """The file's bytes from the offset on."""
        size = await asyncio.to_thread(self._releases.file_size, request.sha256)
        if request.offset_bytes > size:
            raise InvalidInput(f"offset {request.offset_bytes}: the file has {size} bytes")
        with await asyncio.to_thread(self._blobs.open, request.sha256) as file:
            file.seek(request.offset_bytes)
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield pb.DownloadFileResponse(chunk=chunk)


def message_of(release: Release, *, with_files: bool = True) -> pb.Release:
    """The release in the contract's words."""
    files = release.files.items() if with_files else ()
    message = pb.Release(
        id=release.id,
        base_sha256=release.base_sha256,
        concepts=list(release.concepts),
        manifest_sha256=release.manifest_sha256,
        files=[
            pb.ReleaseFile(path=path, size_bytes=entry.size_bytes, sha256=entry.sha256)
            for path, entry in files
        ],
        withdrawn=release.withdrawn,
    )
    message.created.FromDatetime(release.created)
    return message
