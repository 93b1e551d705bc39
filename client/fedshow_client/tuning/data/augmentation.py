"""The versions of an image that tuning sees: crops around the subject, nearer and farther, mirrored.

Only geometry is here, so that `check` can show it without torch. Nothing is left to chance that can be
spread evenly: the zooms and places of an image's variants cover their range, half of them are mirrored.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image

from fedshow_client.tuning.data.frames import Size
from fedshow_client.tuning.data.masks import Box

Extents = tuple[float, float, float, float]
SMALL_SUBJECT = 0.5
"""Crops come nearer to a subject until it fills this share of the frame's edge."""


class Freedom(NamedTuple):
    """How far augmentation may go."""

    zoom_out: float
    """Smallest magnification; 1 fills the frame, below it the picture is padded."""

    zoom_in: float
    flip: bool


@dataclass(frozen=True)
class Crop:
    """Which part of a picture fills which part of a frame; both have the same proportions."""

    frame: Size
    part: Extents
    """Left, top, right, bottom in the picture's pixels."""

    place: Box
    """Left, top, right, bottom in the frame; smaller than the frame where the picture ends."""

    flipped: bool

    @property
    def scale(self) -> float:
        """Frame pixels for each pixel of the picture."""
        left, top, right, bottom = self.part
        across = (self.place[2] - self.place[0]) / (right - left)
        down = (self.place[3] - self.place[1]) / (bottom - top)
        return math.sqrt(across * down)

    @property
    def outline(self) -> Extents:
        """The whole frame in the picture's pixels, also where it reaches beyond the picture."""
        left, top = (
            self.part[0] - self.place[0] / self.scale,
            self.part[1] - self.place[1] / self.scale,
        )
        return left, top, left + self.frame[0] / self.scale, top + self.frame[1] / self.scale

    def cut(
        self, picture: Image.Image, resampling: Image.Resampling, reduced: int = 1
    ) -> Image.Image:
        """What of the picture lies in `place`, resized, not yet padded or mirrored.

        `picture` may be `reduced` times smaller than the one that the crop was planned for.
        """
        left, top, right, bottom = self.place
        first, second, third, fourth = (edge / reduced for edge in self.part)
        return picture.resize(
            (right - left, bottom - top), resampling, box=(first, second, third, fourth)
        )


def reduction(crops: Sequence[Crop]) -> int:
    """How many times smaller a picture may be made at once, leaving twice the pixels that crops need."""
    return max(1, int(0.5 / max(crop.scale for crop in crops)))


def plan_crops(
    picture: Size, subject: Box | None, frame: Size, freedom: Freedom, count: int, seed: str
) -> list[Crop]:
    """`count` crops of one picture, the same for the same seed; the subject is inside if it fits."""
    rng = random.Random(seed)
    zooms, across, down = (_spread(count, rng) for _ in range(3))
    flips = _halves(count, rng) if freedom.flip else [False] * count
    low, high = zoom_range(picture, subject, frame, freedom)
    cover = cover_scale(picture, frame)
    return [
        _crop(picture, subject, frame, cover * low * (high / low) ** zoom, (x, y), flipped)
        for zoom, x, y, flipped in zip(zooms, across, down, flips, strict=True)
    ]


def cover_scale(picture: Size, frame: Size) -> float:
    """The smallest scale at which the picture fills the frame."""
    return max(f / p for f, p in zip(frame, picture, strict=True))


def zoom_range(
    picture: Size, subject: Box | None, frame: Size, freedom: Freedom
) -> tuple[float, float]:
    """Smallest and largest magnification, relative to filling the frame.

    The largest is what keeps the whole subject, if anything does; a subject that would stay small is come
    nearer to, as far as the picture has pixels for it.
    """
    low, high = freedom.zoom_out, freedom.zoom_in
    if subject is None:
        return low, high
    cover = cover_scale(picture, frame)
    left, top, right, bottom = subject
    whole = min(frame[0] / (right - left), frame[1] / (bottom - top)) / cover
    near = min(whole * SMALL_SUBJECT, 1 / cover)
    return low, max(low, min(max(high, near), whole))


def _crop(
    picture: Size,
    subject: Box | None,
    frame: Size,
    scale: float,
    drawn: tuple[float, float],
    flipped: bool,
) -> Crop:
    box = subject or (0, 0, *picture)
    axes = [_axis(picture[i], (box[i], box[i + 2]), frame[i], scale, drawn[i]) for i in (0, 1)]
    (part_x, place_x), (part_y, place_y) = axes
    return Crop(
        frame,
        (part_x[0], part_y[0], part_x[1], part_y[1]),
        (place_x[0], place_y[0], place_x[1], place_y[1]),
        flipped,
    )


def _axis(
    length: int, subject: tuple[int, int], room: int, scale: float, drawn: float
) -> tuple[tuple[float, float], tuple[int, int]]:
    """One axis: what of `length` is shown and where in `room`, both from `drawn` in 0..1."""
    window = room / scale
    if window > length:  # the whole picture lies in the frame
        extent = min(room, max(1, round(length * scale)))
        start = round(drawn * (room - extent))
        return (0.0, float(length)), (start, start + extent)
    first, last = sorted((subject[0], subject[1] - window))
    first, last = max(first, 0.0), min(last, length - window)
    begin = min(max(first + drawn * (last - first), 0.0), length - window)
    return (begin, min(begin + window, float(length))), (0, room)


def _spread(count: int, rng: random.Random) -> list[float]:
    """`count` numbers in 0..1, one in each of `count` equal parts, in random order."""
    found = [(part + rng.random()) / count for part in range(count)]
    rng.shuffle(found)
    return found


def _halves(count: int, rng: random.Random) -> list[bool]:
    """As many yes as no, in random order; of an odd number one more of either."""
    extra = rng.randint(0, 1)
    found = [(part + extra) % 2 == 1 for part in range(count)]
    rng.shuffle(found)
    return found
