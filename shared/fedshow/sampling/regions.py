"""Regions of a picture: where, what, how much and when (Mix-of-Show, section 3.4)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from PIL import Image, ImageChops

from fedshow.errors import InvalidInput
from fedshow.sampling.pictures import read_picture
from fedshow.sampling.spelling import Options, read_options

Box = tuple[float, float, float, float]
Size = tuple[int, int]
"""Height and width."""

Overlap = Literal["average", "priority"]
"""What counts where regions overlap: all, by their weights, or the last one, as it would be painted."""

MOST_REGIONS = 64
MOST_WEIGHT = 10.0
_SPEC = re.compile(r"\s*([^:]*?)\s*:\s*(.+)", re.DOTALL)
_MASK_SPEC = re.compile(r"\s*(.+?)\s*:\s+(.+)", re.DOTALL)
_NUMBERS = ("weight", "feather", "start", "end")


@dataclass(frozen=True, kw_only=True)
class Region:
    """A box or a mask, and what to draw in it. Raises InvalidInput for what cannot be meant."""

    box: Box | None = None
    """(left, top, right, bottom), each a fraction from 0 to 1 of width or height."""

    mask: Image.Image | None = None
    """As large as the picture: white inside, black outside, grey in between; transparent is outside."""

    prompt: str
    negative: str | None = None
    """What not to draw here; None: what the whole picture must not show."""

    weight: float = 1.0
    """How much of the region's inside its prompt decides; the background's prompt decides the rest. Where
    regions are averaged, they count in proportion.
    """
    feather: float = 0.0
    """Width of the soft edge, as a fraction of the picture's shorter edge, centred on the hard one."""

    start: float = 0.0
    """From which fraction of the denoising steps on the region counts; before, the layout forms."""

    end: float = 1.0
    """Up to which fraction of the denoising steps the region counts."""

    controls: Mapping[str, float] = field(default_factory=dict)
    """How much a spatial condition counts in here, by its name: times its own weight; 1 where not said."""

    def __post_init__(self) -> None:
        if (self.box is None) == (self.mask is None):
            raise InvalidInput("region: give either a box or a mask")
        if not self.prompt.strip():
            raise InvalidInput("region without a prompt: say what to draw in it")
        if self.box is not None:
            _check_box(self.box)
        if self.mask is not None:
            object.__setattr__(self, "mask", _checked(self.mask))
        if not 0 < self.weight <= MOST_WEIGHT:
            raise InvalidInput(
                f"region weight {self.weight:g}: use more than 0, up to {MOST_WEIGHT:g}"
            )
        check_unit("region feather", self.feather)
        check_times("region", self.start, self.end)
        for name, weight in self.controls.items():
            check_weight(f"region {name}", weight)

    @classmethod
    def parse(cls, spec: str) -> "Region":
        """The region written as `x0,y0,x1,y1: prompt`, or with more: `x0,y0,x1,y1; weight=.8; …: prompt`.

        Known are weight, feather, start, end and negative; other words are weights of conditions.
        Raises InvalidInput.
        """
        match = _SPEC.fullmatch(spec)
        try:
            said = read_options(spec, match[1] if match else "", ("negative",))
            left, top, right, bottom = (float(part) for part in said.what.split(","))
        except ValueError:
            raise InvalidInput(f"region {spec!r}: write 'x0,y0,x1,y1: prompt'") from None
        assert match is not None
        return cls(box=(left, top, right, bottom), prompt=match[2], **_fields(said))

    @classmethod
    def parse_mask(cls, spec: str) -> "Region":
        """The region written as `mask.png: prompt`, with the same options; raises InvalidInput."""
        match = _MASK_SPEC.fullmatch(spec)
        if match is None:
            raise InvalidInput(f"region mask {spec!r}: write 'mask.png: prompt'")
        said = read_options(spec, match[1], ("negative",))
        return cls(mask=read_picture(Path(said.what)), prompt=match[2], **_fields(said))

    def holds_at(self, progress: float) -> bool:
        """Whether it counts when this fraction of the steps is done."""
        return self.start <= progress < self.end

    @property
    def bounds(self) -> Box:
        """The smallest box around it."""
        if self.box is not None:
            return self.box
        assert self.mask is not None
        left, top, right, bottom = self.mask.getbbox() or (0, 0, *self.mask.size)
        width, height = self.mask.size
        return left / width, top / height, right / width, bottom / height

    def check_size(self, size: Size) -> None:
        """Raises InvalidInput for a mask that is not of the picture's size `(height, width)`."""
        height, width = size
        if self.mask is not None and self.mask.size != (width, height):
            raise InvalidInput(
                f"region mask of {self.mask.width}x{self.mask.height} pixels: make it as large as "
                f"the picture, {width}x{height}"
            )


def check_overlap(overlap: str) -> None:
    """Raises InvalidInput unless it is one of the ways."""
    if overlap not in get_args(Overlap):
        raise InvalidInput(f"overlap {overlap!r}: use {' or '.join(get_args(Overlap))}")


def check_times(name: str, start: float, end: float) -> None:
    """Raises InvalidInput unless these are fractions of the steps, one after the other."""
    if not 0 <= start < end <= 1:
        raise InvalidInput(
            f"{name} start {start:g} and end {end:g}: use fractions of the steps, "
            "0 <= start < end <= 1"
        )


def check_weight(name: str, weight: float) -> None:
    """Raises InvalidInput unless it is a weight of a condition."""
    if not 0 <= weight <= MOST_WEIGHT:
        raise InvalidInput(f"{name} {weight:g}: use a weight from 0 to {MOST_WEIGHT:g}")


def check_unit(name: str, value: float) -> None:
    """Raises InvalidInput unless it is a fraction."""
    if not 0 <= value <= 1:
        raise InvalidInput(f"{name} {value:g}: use a fraction from 0 to 1")


def _check_box(box: Box) -> None:
    left, top, right, bottom = box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise InvalidInput(
            f"region box {left:g},{top:g},{right:g},{bottom:g}: use left,top,right,bottom in "
            "fractions, 0 <= left < right <= 1 and 0 <= top < bottom <= 1"
        )


def _checked(mask: Image.Image) -> Image.Image:
    """The mask as grey values, what is transparent in black; raises InvalidInput when nothing is inside."""
    grey = mask.convert("L")
    if mask.has_transparency_data:
        grey = ImageChops.multiply(grey, mask.convert("RGBA").getchannel("A"))
    if grey.getbbox() is None:
        raise InvalidInput("region mask is black all over: paint white what the region is")
    return grey


def _fields(said: Options) -> dict[str, Any]:
    numbers = {name: value for name, value in said.numbers.items() if name in _NUMBERS}
    controls = {name: value for name, value in said.numbers.items() if name not in _NUMBERS}
    return {**said.texts, **numbers, "controls": controls}
