"""Files by their content: whoever knows a digest can have exactly those bytes."""

import os
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Protocol

from fedshow.digests import DIGEST
from fedshow.errors import Damaged, InvalidInput, NotFound
from fedshow.files import BLOCK_BYTES, write_atomically


class Blobs(Protocol):
    """Where content lies; putting the same content twice changes nothing."""

    def check(self) -> None:
        """Raises InvalidInput unless content can be kept here."""

    def put(self, content: bytes) -> str:
        """Keeps `content` and returns its digest; on the disk when this returns."""

    def put_file(self, path: Path, digest: str) -> None:
        """Keeps the file at `path`; raises Damaged unless it has that digest."""

    def open(self, digest: str) -> BinaryIO:
        """The content, readable and seekable; raises NotFound."""

    def has(self, digest: str) -> bool:
        """Whether the content is here."""

    def delete(self, digest: str) -> None:
        """Forgets the content, if it is here; only `Pruning` may, which knows what is needed."""


class FolderBlobs:
    """Blobs in a local folder: `<first two digits>/<digest>`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self) -> None:
        """Raises InvalidInput unless content can be kept there."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self._folder).close()
        except OSError as error:
            raise InvalidInput(f"store {self._folder}: {error.strerror}") from None

    def put(self, content: bytes) -> str:
        """Keeps `content` and returns its digest; on the disk when this returns."""
        digest = sha256(content).hexdigest()
        if not self.has(digest):
            write_atomically(self._path(digest), content)
        return digest

    def put_file(self, path: Path, digest: str) -> None:
        """Keeps the file at `path`; raises Damaged unless it has that digest."""
        target = self._path(digest)
        if target.is_file():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".incoming-")
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as out:
                found = copy(path, out)
                out.flush()
                os.fsync(out.fileno())
            if found != digest:
                raise damaged(path, found, digest)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def open(self, digest: str) -> BinaryIO:
        """The content, readable and seekable; raises NotFound."""
        try:
            return self._path(digest).open("rb")
        except FileNotFoundError:
            raise NotFound(f"no content {digest[:12]}… here") from None

    def has(self, digest: str) -> bool:
        """Whether the content is here."""
        return self._path(digest).is_file()

    def delete(self, digest: str) -> None:
        """Forgets the content, if it is here; only `Pruning` may, which knows what is needed."""
        self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._folder / check_digest(digest)[:2] / digest


def check_digest(digest: str) -> str:
    """`digest` as it is; raises NotFound when it is anything else, a path for instance."""
    if not DIGEST.fullmatch(digest):
        raise NotFound(f"{digest[:80]!r} is no digest")
    return digest


def damaged(path: Path, found: str, digest: str) -> Damaged:
    """The error for a file that is not what it was said to be."""
    return Damaged(f"{path.name}: sha256 {found[:12]}…, must be {digest[:12]}…")


def copy(path: Path, out: BinaryIO) -> str:
    """Copies the file and returns the digest of what went through."""
    found = sha256()
    with path.open("rb") as source:
        while block := source.read(BLOCK_BYTES):
            found.update(block)
            out.write(block)
    return found.hexdigest()
