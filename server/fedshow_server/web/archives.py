"""A release as one tar file, made while it is sent: nothing is kept, and its size is known before."""

import tarfile
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime

from fedshow.releases import FileEntry
from fedshow_server.store import Blobs
from fedshow_server.store.content import read_content

BLOCK_BYTES = 1 << 20
SUFFIX = ".tar"
END = bytes(2 * tarfile.BLOCKSIZE)
READABLE = 0o644


class Archive:
    """The files of a release below one folder, by path; the same bytes every time."""

    def __init__(self, folder: str, files: Mapping[str, FileEntry], created: datetime) -> None:
        moment = int(created.timestamp())
        self._files = [
            (_head(f"{folder}/{path}", entry, moment), entry)
            for path, entry in sorted(files.items())
        ]

    @property
    def size_bytes(self) -> int:
        """Of the whole."""
        sizes = ((len(head), entry.size_bytes) for head, entry in self._files)
        return len(END) + sum(head + size + _padding(size) for head, size in sizes)

    async def read(self, blobs: Blobs) -> AsyncGenerator[bytes, None]:
        """The whole, in blocks. Raises NotFound."""
        for head, entry in self._files:
            yield head
            async for block in read_content(blobs, entry.sha256, 0, entry.size_bytes, BLOCK_BYTES):
                yield block
            yield bytes(_padding(entry.size_bytes))
        yield END


def _head(path: str, entry: FileEntry, moment: int) -> bytes:
    member = tarfile.TarInfo(path)
    member.size, member.mtime, member.mode = entry.size_bytes, moment, READABLE
    return member.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> int:
    return -size % tarfile.BLOCKSIZE
