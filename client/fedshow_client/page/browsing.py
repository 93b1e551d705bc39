"""Choosing a folder from a listing that does not leave this user's home."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fedshow.errors import Forbidden, InvalidInput
from fedshow.pictures import is_picture

MOST_ENTRIES = 500


@dataclass(frozen=True)
class Listing:
    """One folder."""

    folder: Path
    above: Path | None
    """The folder that it lies in; None for the home."""
    folders: list[Path]
    images: int


def listing(root: Path, wanted: str) -> Listing:
    """What lies in the folder `wanted`, which is `root` or somewhere below it.

    Raises Forbidden for what is elsewhere, also by a link, InvalidInput for what is no folder.
    """
    root = root.resolve()
    if "\0" in wanted:
        raise InvalidInput(f"{wanted[:80]!r}: not a path")
    folder = (root / wanted).resolve()
    if not folder.is_relative_to(root):
        raise Forbidden(f"{folder} is outside of {root}: type its path")
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name.casefold())
    except OSError as error:
        raise InvalidInput(f"{folder}: {error.strerror}") from None
    folders = [entry for entry in entries if _is_offered(entry, root)]
    images = sum(map(is_picture, entries))
    above = folder.parent if folder != root else None
    return Listing(folder, above, folders[:MOST_ENTRIES], images)


def query_of(folder: Path) -> str:
    """The folder as a part of an address."""
    return quote(str(folder), safe="")


def _is_offered(entry: Path, root: Path) -> bool:
    if entry.name.startswith("."):
        return False
    return entry.is_dir() and entry.resolve().is_relative_to(root)
