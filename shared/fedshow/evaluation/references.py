"""Private pictures to compare with: read from a local folder, and never written anywhere."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from fedshow.errors import InvalidInput, first_line
from fedshow.pictures import (
    HEIF_HINT,
    HEIF_SUFFIXES,
    MAX_PIXELS,
    SUFFIXES,
    UNREADABLE,
    can_read_heif,
    opened,
    picture_files,
    upright_rgb,
)


def reference_files(folder: Path) -> list[Path]:
    """The pictures in a folder that tuning would take, too; raises InvalidInput when there are none."""
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: not a folder of reference pictures")
    found = picture_files(folder)
    if not found:
        raise InvalidInput(f"{folder}: no pictures (looked for {', '.join(sorted(SUFFIXES))})")
    for file in found:
        if file.suffix.lower() in HEIF_SUFFIXES and not can_read_heif():
            raise InvalidInput(f"{file} {HEIF_HINT}")
    return found


def parse_references(given: Iterable[str]) -> dict[str, Path]:
    """Concept to folder, each written as `NAME=FOLDER`; raises InvalidInput."""
    found: dict[str, Path] = {}
    for said in given:
        name, sign, folder = said.partition("=")
        if not (name and sign and folder):
            raise InvalidInput(f"reference {said!r}: write NAME=FOLDER, such as mimi=cat-pictures")
        if name in found:
            raise InvalidInput(f"reference {said!r}: {name} has a folder already, {found[name]}")
        found[name] = Path(folder).expanduser()
        reference_files(found[name])
    return found


def reference_pictures(folder: Path) -> Iterator[Image.Image]:
    """The folder's pictures as tuning sees them, one in memory at a time; raises InvalidInput."""
    return map(_read, reference_files(folder))


def _read(file: Path) -> Image.Image:
    try:
        with opened(file) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError(f"{image.width}x{image.height} pixels")
            return upright_rgb(image)
    except Image.DecompressionBombError as error:
        raise InvalidInput(f"{file} is too large, limit {MAX_PIXELS} pixels: {error}") from error
    except UNREADABLE as error:
        raise InvalidInput(f"{file} cannot be read as a picture: {first_line(error)}") from error
