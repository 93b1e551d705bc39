"""Picture files of any format as plain upright RGB."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

HEIF_SUFFIXES = {".heic", ".heif"}
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"}
SUFFIXES |= HEIF_SUFFIXES
HEIF_HINT = "needs the pillow-heif library: pip install 'fedshow[heic]'"
BEHIND_TRANSPARENCY = (128, 128, 128)
"""Mid-grey: 0 to the VAE, and unlike black or white no scene that a concept could learn."""

UNREADABLE = (
    OSError,
    UnidentifiedImageError,
    SyntaxError,
    ValueError,
    Image.DecompressionBombError,
)
"""What Pillow raises for files that are no pictures, or absurd ones."""


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The file's first frame, not yet decoded; raises one of UNREADABLE."""
    if path.suffix.lower() in HEIF_SUFFIXES:
        can_read_heif()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd EXIF, large pictures: the caller looks at the size
        with Image.open(path) as image:
            yield image


@cache
def can_read_heif() -> bool:
    """Whether the optional library for .heic and .heif is there; registers it with Pillow."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def upright_rgb(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation says, RGB, transparency on mid-grey."""
    upright = ImageOps.exif_transpose(image)
    if not upright.has_transparency_data:
        return _eight_bit(upright).convert("RGB")
    layer = upright.convert("RGBA")
    ground = Image.new("RGBA", layer.size, (*BEHIND_TRANSPARENCY, 255))
    return Image.alpha_composite(ground, layer).convert("RGB")


def upright_grey(image: Image.Image) -> Image.Image:
    """As `upright_rgb`, but grey, with transparency black: what is not there is not the subject."""
    upright = ImageOps.exif_transpose(image)
    if not upright.has_transparency_data:
        return _eight_bit(upright).convert("L")
    layer = upright.convert("RGBA")
    ground = Image.new("RGBA", layer.size, (0, 0, 0, 255))
    return Image.alpha_composite(ground, layer).convert("L")


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit and float greys brought to 0..255; `convert` alone would cut them off at 255."""
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image, dtype=np.float64)
        top = 255.0 if values.max(initial=0) <= 255 else 65535.0
        return Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8))
    return image
