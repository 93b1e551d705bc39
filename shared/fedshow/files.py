"""Files that are there whole or not at all, and apart from what they are made of; their digests."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO

from fedshow.errors import InvalidInput

BLOCK_BYTES = 1 << 20


def write_atomically(path: Path, content: bytes) -> None:
    """Puts `content` at `path`: readers see the old file or the new one, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_or_not(path) as file:
        file.write(content)


@contextmanager
def whole_or_not(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its place at `path`, on the disk, when the block ends well; else nothing is left."""
    handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def check_apart(out: Path, *read: str | Path | None) -> None:
    """Raises InvalidInput when writing `out` would replace what is read, or a file in a folder that is."""
    if not out.exists():
        return
    for source in (Path(one) for one in read if one is not None and Path(one).exists()):
        if out.samefile(source) or source.resolve() in out.resolve().parents:
            raise InvalidInput(
                f"{out} is read from {source} and would be replaced: name another file"
            )


def digest(path: Path, on_bytes: Callable[[int], None] = lambda _: None) -> str:
    """sha256 of a file in 64 hexadecimal digits; `on_bytes` is told of the size of each block read."""
    found = sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            found.update(block)
            on_bytes(len(block))
    return found.hexdigest()


def tail(path: Path, most_bytes: int = 8192) -> str:
    """The end of a text file that may be growing; empty when it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most_bytes))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
