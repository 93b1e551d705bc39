"""Files that are there whole or not at all, and their digests."""

import os
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

BLOCK_BYTES = 1 << 20


def write_atomically(path: Path, content: bytes) -> None:
    """Puts `content` at `path`: readers see the old file or the new one, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def digest(path: Path, on_bytes: Callable[[int], None] = lambda _: None) -> str:
    """sha256 of a file in 64 hexadecimal digits; `on_bytes` is told of the size of each block read."""
    found = sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            found.update(block)
            on_bytes(len(block))
    return found.hexdigest()
