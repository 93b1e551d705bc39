"""A file on its way, in pieces that are checked one by one: a wrong one is fetched again alone."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Self

from fedshow.errors import Damaged
from fedshow.files import BLOCK_BYTES
from fedshow.releases.manifest import DIGEST_BYTES, PIECE_BYTES
from fedshow.v1.releases_pb2 import ReleaseFile

DAMAGED_TRIES = 3
"""Times that a piece may arrive wrong before its file is given up."""


@dataclass(frozen=True)
class Piece:
    """Bytes of a file from `start` up to `end`, and their sha256."""

    start: int
    end: int
    digest: bytes


def pieces_of(want: ReleaseFile, digests: bytes = b"") -> list[Piece]:
    """The file's pieces with the digests that its manifest lists; one piece when it lists none."""
    size = want.size_bytes
    if not digests:
        return [Piece(0, size, bytes.fromhex(want.sha256))]
    starts = range(0, size, PIECE_BYTES)
    each = (digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES))
    return [
        Piece(start, min(size, start + PIECE_BYTES), digest)
        for start, digest in zip(starts, each, strict=True)
    ]


class PartFile:
    """The file at `target`.part; takes its real name only with the promised bytes.

    Whatever lies there already is kept as far as it is right: from an earlier try, cut off at any
    byte, or a copy of a file that is nearly the same.
    """

    def __init__(self, target: Path, want: ReleaseFile, digests: bytes = b"") -> None:
        self.target = target
        self.want = want
        self.path = target.with_name(f"{target.name}.part")
        self.position = 0
        """The next byte to take, inside of the piece that is at work."""
        self._pieces = pieces_of(want, digests)
        self._good = [False] * len(self._pieces)
        self._good_bytes = 0
        self._wrong: Counter[int] = Counter()
        self._number = 0
        self._hash = sha256()
        self._held = bytearray()
        self._whole = sha256()
        self._hashed = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self.path.touch()
        self._file = self.path.open("r+b")
        size = min(self.path.stat().st_size, self.want.size_bytes)
        self._file.truncate(size)
        for number, piece in enumerate(self._pieces):
            if piece.start < size or piece.end == 0:
                self._begin(number)
                for block in self._read(piece.start, min(size, piece.end)):
                    self._take(block)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        self._file.close()

    def here(self) -> int:
        """Bytes that need not be fetched."""
        piece = self._pieces[self._number]
        begun = self.position - piece.start if self.position < piece.end else 0
        return self._good_bytes + begun

    def missing(self) -> tuple[int, int] | None:
        """The first run of bytes that are not here, and the part set to take them; None: all are."""
        if all(self._good):
            return None
        if not self.want.size_bytes:
            raise Damaged(f"{self.want.path}: no bytes are promised, and the sha256 of some")
        first = self._good.index(False)
        last = next((n for n in range(first, len(self._good)) if self._good[n]), len(self._good))
        if first != self._number or self.position == self._pieces[first].end:
            self._begin(first)
        assert self._file is not None
        self._file.seek(self.position)
        return self.position, self._pieces[last - 1].end

    def append(self, chunk: bytes, end: int) -> None:
        """Takes the next bytes of a run up to `end`.

        Raises Damaged when there are more, or when a piece was wrong too often.
        """
        assert self._file is not None
        if self.position + len(chunk) > end:
            raise Damaged(f"{self.want.path}: more than the promised {end} bytes")
        self._file.write(chunk)
        while chunk:
            piece = self._pieces[self._number]
            block, chunk = chunk[: piece.end - self.position], chunk[piece.end - self.position :]
            self._take(block)
            if self.position == piece.end:
                self._count(piece)
                if self.position < end:
                    self._begin(self._number + 1)

    def finish(self) -> None:
        """Puts the file at its target; raises Damaged when its digest is not as promised."""
        assert self._file is not None
        if len(self._pieces) > 1:
            for piece in self._pieces[self._hashed :]:
                for block in self._read(piece.start, piece.end):
                    self._whole.update(block)
            if self._whole.hexdigest() != self.want.sha256:
                raise Damaged(f"{self.want.path}: its pieces make another file than was promised")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.path.replace(self.target)

    def _begin(self, number: int) -> None:
        self._number, self.position = number, self._pieces[number].start
        self._hash = sha256()
        self._held.clear()

    def _take(self, block: bytes) -> None:
        """Counts bytes in; at the end of a piece it is known whether they are right."""
        piece, number = self._pieces[self._number], self._number
        self._hash.update(block)
        self.position += len(block)
        if len(self._pieces) > 1:
            self._held += block
        if self.position == piece.end:
            self._settle(number, piece)

    def _settle(self, number: int, piece: Piece) -> None:
        if self._hash.digest() != piece.digest:
            return
        self._good[number] = True
        self._good_bytes += piece.end - piece.start
        if number == self._hashed:
            self._whole.update(self._held)
            self._hashed += 1

    def _count(self, piece: Piece) -> None:
        if self._good[self._number]:
            return
        self._wrong[self._number] += 1
        if self._wrong[self._number] >= DAMAGED_TRIES:
            raise Damaged(
                f"{self.want.path}: bytes {piece.start} to {piece.end} came wrong "
                f"{DAMAGED_TRIES} times"
            )

    def _read(self, start: int, end: int) -> Iterator[bytes]:
        assert self._file is not None
        self._file.seek(start)
        if end == 0:
            yield b""
        while start < end and (block := self._file.read(min(BLOCK_BYTES, end - start))):
            start += len(block)
            yield block
