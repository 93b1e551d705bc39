"""One file from a server: resumed where it stopped, hashed as it arrives, real only when right."""

import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Self

from fedshow.errors import Damaged, Unreachable
from fedshow.files import BLOCK_BYTES
from fedshow.transfer.backoff import Patience
from fedshow.transfer.connection import STREAM_SECONDS, Connection
from fedshow.v1.releases_pb2 import DownloadFileRequest, ReleaseFile

Progress = Callable[[int], None]
"""Told of each piece that arrived, in bytes; negative when damaged bytes were thrown away."""

DAMAGED_TRIES = 3
"""Downloads from the start before giving up on a file that arrives with wrong bytes."""


class PartFile:
    """A file on its way at `target`.part; takes its real name only with the promised bytes."""

    def __init__(self, target: Path, want: ReleaseFile) -> None:
        self.target = target
        self.want = want
        self.path = target.with_name(f"{target.name}.part")
        self.size = 0
        self._hash = sha256()
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self._file = self.path.open("a+b")
        self._file.seek(0)
        while block := self._file.read(BLOCK_BYTES):
            self._hash.update(block)
            self.size += len(block)
        if self.size > self.want.size_bytes:
            self.discard()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        self._file.close()

    def append(self, chunk: bytes) -> None:
        """Takes the next bytes; raises Damaged when there are more than promised."""
        assert self._file is not None
        if self.size + len(chunk) > self.want.size_bytes:
            raise Damaged(f"{self.want.path}: more than the promised {self.want.size_bytes} bytes")
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def finish(self) -> None:
        """Puts the file at its target; raises Damaged when size or digest are not as promised."""
        assert self._file is not None
        found = self._hash.hexdigest()
        if (self.size, found) != (self.want.size_bytes, self.want.sha256):
            raise Damaged(
                f"{self.want.path}: got {self.size} bytes with sha256 {found[:12]}…, promised are "
                f"{self.want.size_bytes} with {self.want.sha256[:12]}…"
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        self.path.replace(self.target)

    def discard(self) -> int:
        """Starts over; returns how many bytes were thrown away."""
        assert self._file is not None
        self._file.truncate(0)
        thrown, self.size, self._hash = self.size, 0, sha256()
        return thrown


def download_file(
    connection: Connection,
    want: ReleaseFile,
    target: Path,
    patience: Patience,
    progress: Progress = lambda _: None,
) -> None:
    """Puts the file at `target`, whole and verified; an earlier `.part` is continued.

    Raises Unreachable when patience ends (the part stays), Damaged when the server sends wrong
    bytes again and again.
    """
    with PartFile(target, want) as part:
        progress(part.size)
        for tries_left in reversed(range(DAMAGED_TRIES)):
            try:
                _fetch_rest(connection, part, patience, progress)
                part.finish()
                break
            except Damaged:
                progress(-part.discard())
                if not tries_left:
                    raise


def _fetch_rest(
    connection: Connection, part: PartFile, patience: Patience, progress: Progress
) -> None:
    """Fills the part up to its size, over as many streams as it takes."""
    while part.size < part.want.size_bytes:
        try:
            for chunk in _stream(connection, part):
                part.append(chunk)
                progress(len(chunk))
                patience.progressed()
            if part.size < part.want.size_bytes:
                raise Unreachable(
                    f"{part.want.path}: the stream ended at {part.size} of {part.want.size_bytes}"
                )
        except Unreachable as error:
            patience.wait(error)


def _stream(connection: Connection, part: PartFile) -> Iterator[bytes]:
    request = DownloadFileRequest(sha256=part.want.sha256, offset_bytes=part.size)
    with connection.translated():
        for reply in connection.releases.DownloadFile(request, timeout=STREAM_SECONDS):
            yield reply.chunk
