"""The subject's mask beside an image: `NAME.mask.png`, white where the subject is."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from PIL import Image

from fedshow.pictures import (
    HALF,
    MASK_SUFFIX,
    UNREADABLE,
    WHITE_FROM,
    opened,
    upright_grey,
)

Size = tuple[int, int]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class MaskFinding:
    """What a mask file is good for: a usable path, or why not, and what to know about it."""

    path: Path | None = None
    reason: str | None = None
    notes: tuple[str, ...] = ()


def examine_mask(image: Path, size: Size) -> MaskFinding:
    """The mask that lies beside `image`, whose upright size is `size`."""
    path = image.with_name(image.stem + MASK_SUFFIX)
    if not path.is_file():
        return MaskFinding()
    try:
        with opened(path) as raw:
            grey = upright_grey(raw)
    except UNREADABLE as error:
        return MaskFinding(reason=f"mask cannot be read ({type(error).__name__})")
    if not _same_shape(grey.size, size):
        sizes = f"mask is {grey.width}x{grey.height}, image {size[0]}x{size[1]}"
        turned = " (upright; was the mask made of the unturned file?)"
        return MaskFinding(reason=sizes + (turned if grey.size == size[::-1] else ""))
    return _judge_content(path, grey, size)


def load_mask(path: Path, size: Size) -> Image.Image:
    """The mask as grey picture of `size`, white where the subject is."""
    with opened(path) as raw:
        grey = upright_grey(raw)
    if _extremes(grey)[1] == 1:
        grey = grey.point([0] + [255] * 255)
    return grey if grey.size == size else grey.resize(size, Image.Resampling.BILINEAR)


def subject_box(mask: Image.Image) -> Box | None:
    """Left, top, right, bottom of the white part, or None when nothing is white."""
    return mask.point(HALF).getbbox()


def _judge_content(path: Path, grey: Image.Image, size: Size) -> MaskFinding:
    darkest, lightest = _extremes(grey)
    if lightest == 0:
        return MaskFinding(reason="mask is all black: no subject in it")
    notes = []
    if grey.size != size:
        notes.append(f"mask is {grey.width}x{grey.height}: scaled to the image")
    if lightest == 1:
        notes.append("mask has values 0 and 1: taken as black and white")
    elif lightest < WHITE_FROM:
        return MaskFinding(reason=f"mask is nowhere white (lightest value {lightest} of 255)")
    if darkest == lightest:
        return MaskFinding(notes=(*notes, "mask is all white: the same as none"))
    return MaskFinding(path, notes=tuple(notes))


def _extremes(grey: Image.Image) -> tuple[int, int]:
    """Darkest and lightest value."""
    darkest, lightest = cast(tuple[int, int], grey.getextrema())
    return darkest, lightest


def _same_shape(mask: Size, image: Size) -> bool:
    """Equal, or the same proportions up to a rounded pixel: tools export masks smaller."""
    scale = max(image) / max(mask)
    return all(abs(m * scale - i) <= max(scale, 1) for m, i in zip(mask, image, strict=True))
