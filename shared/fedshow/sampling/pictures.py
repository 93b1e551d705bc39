"""Pictures in and out of files: from people, so that anything may be in them."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base

from fedshow.errors import InvalidInput

MOST_PIXELS = 64_000_000
FORMATS = ("PNG", "JPEG", "WEBP")
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes an EXIF orientation. Pillow's `exif_transpose` writes EXIF anew, too, and fails on odd tags."""


def read_picture(path: Path) -> Image.Image:
    """The picture in a file; raises InvalidInput."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    return decode_picture(str(path), content)


def decode_picture(what: str, content: bytes) -> Image.Image:
    """The picture of a file's bytes, whole, as people see it: upright, in eight bits; raises InvalidInput."""
    with _opened(what, content) as opened:
        opened.load()
        return _plain(opened)


def said_size(what: str, content: bytes) -> tuple[int, int]:
    """Width and height as a file's first bytes say, before any pixel is decoded; raises InvalidInput."""
    with _opened(what, content) as opened:
        return opened.size


@contextmanager
def _opened(what: str, content: bytes) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise InvalidInput(
                    f"{what}: {opened.width}x{opened.height} pixels, limit {MOST_PIXELS}"
                )
            yield opened
    except UnidentifiedImageError:
        raise InvalidInput(f"{what}: no picture; use {', '.join(FORMATS)}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidInput(f"{what}: cannot be read as a picture: {error}") from error


def _plain(picture: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says, and in a mode that a PNG file of eight bits has."""
    turn = TURNS.get(picture.getexif().get(Base.Orientation, 1))
    upright = picture.copy() if turn is None else picture.transpose(turn)
    if upright.mode.startswith("I"):  # sixteen bits, which conversions alone would cut off at 255
        grey = upright.convert("I").point(lambda value: value * (1 / 256)).convert("L")
        grey.info.pop("transparency", None)
        return grey
    return upright.convert("RGB") if upright.mode == "CMYK" else upright


def encode_picture(picture: Image.Image) -> bytes:
    """A PNG file of its pixels, with nothing else that it came with."""
    file = io.BytesIO()
    picture.save(file, "PNG", icc_profile=None)
    return file.getvalue()
