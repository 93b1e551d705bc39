"""Files of releases over HTTP: any part of them, known by their digest, until the node is revoked."""

import logging
import mimetypes
from collections.abc import Mapping

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Send

from fedshow.errors import FedshowError
from fedshow.releases import FileEntry
from fedshow_server.services.streams import OpenStreams
from fedshow_server.store import Blobs
from fedshow_server.store.content import read_content
from fedshow_server.web.archives import Archive
from fedshow_server.web.caching import ASK_AGAIN
from fedshow_server.web.doors import visitor
from fedshow_server.web.ranges import Unsatisfiable, is_known, wanted_range

log = logging.getLogger(__name__)

BLOCK_BYTES = 1 << 20
TYPES = {".safetensors": "application/octet-stream", ".md": "text/markdown; charset=utf-8"}


class FileSender:
    """Answers with the content of released files."""

    def __init__(self, blobs: Blobs, streams: OpenStreams) -> None:
        self._blobs = blobs
        self._streams = streams

    def answer(
        self, request: Request, path: str, entry: FileEntry, headers: Mapping[str, str]
    ) -> Response:
        """The file, the part of it that was asked for, or word that the asker has it already."""
        etag = f'"{entry.sha256}"'
        about = {"etag": etag, "accept-ranges": "bytes", "x-content-type-options": "nosniff"}
        about |= headers
        if is_known(request.headers, etag):
            return Response(status_code=304, headers=about)
        try:
            part = wanted_range(request.headers, etag, entry.size_bytes)
        except Unsatisfiable:
            about["content-range"] = f"bytes */{entry.size_bytes}"
            return Response(status_code=416, headers=about)
        start, end = part or (0, entry.size_bytes)
        about |= {"content-length": str(end - start), "content-type": _type_of(path)}
        if part:
            about["content-range"] = f"bytes {start}-{end - 1}/{entry.size_bytes}"
        status = 206 if part else 200
        if request.method == "HEAD":
            return Response(status_code=status, headers=about)
        content = read_content(self._blobs, entry.sha256, start, end, BLOCK_BYTES)
        guarded = self._streams.until_revoked(visitor(request), content)
        return BreakingStream(guarded, status, about)

    def archive(self, request: Request, name: str, archive: Archive) -> Response:
        """The whole archive, to be saved under this name."""
        about = {
            "content-length": str(archive.size_bytes),
            "content-type": "application/x-tar",
            "content-disposition": f'attachment; filename="{name}"',
            "cache-control": ASK_AGAIN,
        }
        content = archive.read(self._blobs)
        return BreakingStream(self._streams.until_revoked(visitor(request), content), 200, about)


class BreakingStream(StreamingResponse):
    """Breaks off without its end when it cannot go on: nobody takes a part for the whole."""

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        except FedshowError as error:  # cut off, or the store went away
            log.info("a download ended: %s", error)


def _type_of(path: str) -> str:
    suffix = path[path.rfind(".") :]
    return TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
