"""Picture files as people have them: which ones count, and each, of any format, as plain upright RGB."""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

HEIF_SUFFIXES = {".heic", ".heif"}
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"}
SUFFIXES |= HEIF_SUFFIXES
MASK_SUFFIX = ".mask.png"
"""Of the subject's mask beside a picture."""

HEIF_HINT = "needs the pillow-heif library: pip install 'fedshow[heic]'"
BEHIND_TRANSPARENCY = (128, 128, 128)
"""Mid-grey: 0 to the VAE, and unlike black or white no scene that a concept could learn."""

MAX_PIXELS = 1 << 27

WHITE_FROM = 128
HALF = [0] * WHITE_FROM + [255] * (256 - WHITE_FROM)
"""For `point`: a grey picture as black and white."""

UNREADABLE = (
    OSError,
    UnidentifiedImageError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for files that are no pictures, damaged or absurd: each format something else."""


def picture_files(folder: Path) -> list[Path]:
    """The pictures in a folder, in order of name."""
    return sorted(filter(is_picture, folder.iterdir()))


def is_picture(path: Path) -> bool:
    """Whether a file counts as a picture by its name: not hidden, and no mask."""
    named = path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    return named and not is_mask(path) and path.is_file()


def is_mask(path: Path) -> bool:
    """Also wrongly spelled ones: a mask taken for a picture would teach black and white blots."""
    return path.stem.lower().endswith(".mask")


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
    """The picture turned as its EXIF orientation says, sRGB, transparency on mid-grey."""
    upright = ImageOps.exif_transpose(image)
    if not upright.has_transparency_data:
        return _in_srgb(_eight_bit(upright)).convert("RGB")
    return _in_srgb(_on_ground(upright, BEHIND_TRANSPARENCY))


def upright_grey(image: Image.Image) -> Image.Image:
    """As `upright_rgb`, but grey and with transparency black: what is not there is not the subject."""
    upright = ImageOps.exif_transpose(image)
    if not upright.has_transparency_data:
        return _eight_bit(upright).convert("L")
    return _on_ground(upright, (0, 0, 0)).convert("L")


def _on_ground(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """A picture with transparency as RGB on a plain colour."""
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, (*colour, 255))
    flat = Image.alpha_composite(ground, layer).convert("RGB")
    flat.info["icc_profile"] = image.info.get("icc_profile")
    return flat


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit and float greys brought to 0..255; `convert` alone would cut them off at 255."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    highest = float(values.max(initial=0))
    scales = (65535.0,) if image.mode.startswith("I;16") else (1.0, 255.0, 65535.0)
    top = next((scale for scale in scales if highest <= scale), 65535.0)
    return Image.fromarray((values.clip(0, top) * (255 / top)).round().astype(np.uint8))


def _in_srgb(image: Image.Image) -> Image.Image:
    """Colours of a wider gamut (phones save Display P3) as sRGB; a broken profile is ignored."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image
        target = ImageCms.createProfile("sRGB")
        changed = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image
    return changed or image
