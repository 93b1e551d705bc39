"""Pictures in and out of files: from people, so that anything may be in them."""

import io
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from fedshow.errors import InvalidInput

MOST_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "WEBP")


def read_picture(path: Path) -> Image.Image:
    """The picture in a file; raises InvalidInput."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    return decode_picture(str(path), content)


def decode_picture(what: str, content: bytes) -> Image.Image:
    """The picture of a file's bytes, whole; raises InvalidInput."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise InvalidInput(
                    f"{what}: {opened.width}x{opened.height} pixels, limit {MOST_PIXELS}"
                )
            opened.load()
            return opened.copy()
    except UnidentifiedImageError:
        raise InvalidInput(f"{what}: no picture; use {', '.join(FORMATS)}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidInput(f"{what}: cannot be read as a picture: {error}") from error


def encode_picture(picture: Image.Image) -> bytes:
    """A PNG file of its pixels, with nothing else that it came with."""
    file = io.BytesIO()
    picture.save(file, "PNG", icc_profile=None)
    return file.getvalue()
