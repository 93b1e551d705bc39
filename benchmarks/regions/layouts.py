"""Layouts by lot: who stands where, and how a person would ask for it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from fedshow.sampling.regions import Box, Region
from fedshow.scoring.prompts import PLACES
from fedshow.toyworld.figures import draw_character
from fedshow.toyworld.heldout import HELDOUT
from fedshow.toyworld.scenes import SUPERSAMPLING, outline_of

CHARACTERS = ("pip", "volt", "sprout", "ruby", "berry")
"""One of each kind, chosen because the encoder reads their colours and accessories right, as far as it has
words for them, in nine of ten pictures of the concept alone: what it misreads there tells nothing of regions.
"""

VARIANTS = ("apart", "touching", "overlapping")
LAYOUTS = 64
HEIGHT, CELL = 40, 36
"""Pixels: figures stand side by side, each with the room that the base is used to."""

OVERLAP = 5
FIGURE = 0.78
"""Edge of a sketched figure over that of its box: as large as figures are in the base's pictures."""


@dataclass(frozen=True)
class Layout:
    """One picture to be drawn."""

    number: int
    concepts: tuple[str, ...]
    place: str
    size: tuple[int, int]
    """Width and height in pixels."""

    boxes: tuple[Box, ...]

    @property
    def together(self) -> str:
        """All concepts, without a place."""
        return " and ".join(f"a <{name}>" for name in self.concepts)

    @property
    def prompt(self) -> str:
        """Everything in one sentence."""
        return f"{self.together} {self.place}"

    @property
    def background(self) -> str:
        """What is where nobody stands."""
        return f"an empty scene {self.place}"

    def regions(self) -> list[Region]:
        """One for each concept."""
        return [
            Region(box=box, prompt=f"a <{name}> {self.place}", negative="")
            for name, box in zip(self.concepts, self.boxes, strict=True)
        ]

    def pixels(self, box: Box) -> tuple[float, float, float, float]:
        """A box in pixels."""
        (left, top, right, bottom), (width, height) = box, self.size
        return left * width, top * height, right * width, bottom * height

    def sketch(self) -> Image.Image:
        """Outlines of figures like the concepts, one in each box."""
        rng = random.Random(self.number)
        masks = [
            self._mask(name, box, rng) for name, box in zip(self.concepts, self.boxes, strict=True)
        ]
        return outline_of(masks, self.size)

    def _mask(self, name: str, box: Box, rng: random.Random) -> Image.Image:
        left, top, right, bottom = (edge * SUPERSAMPLING for edge in self.pixels(box))
        side = round(FIGURE * min(right - left, bottom - top))
        figure = draw_character(HELDOUT[name], rng).getchannel("A")
        mask = Image.new("L", tuple(edge * SUPERSAMPLING for edge in self.size))  # type: ignore[arg-type]
        corner = round((left + right - side) / 2), round((top + bottom - side) / 2)
        mask.paste(figure.resize((side, side), Image.Resampling.BILINEAR), corner)
        return mask.resize(self.size, Image.Resampling.BOX)


def layouts(count: int, variant: str, number: int = LAYOUTS) -> list[Layout]:
    """So many layouts of `count` concepts, the same every time."""
    rng = random.Random(f"{count} {variant}")
    return [_layout(k, count, variant, rng) for k in range(number)]


def _layout(number: int, count: int, variant: str, rng: random.Random) -> Layout:
    width = -(-count * CELL // 8) * 8
    edges = [k * width / count for k in range(count + 1)]
    boxes = tuple(
        (max(0.0, left / width), top / HEIGHT, min(1.0, right / width), bottom / HEIGHT)
        for left, top, right, bottom in (
            _box(*pair, variant, rng) for pair in zip(edges, edges[1:], strict=False)
        )
    )
    concepts = tuple(rng.sample(CHARACTERS, count))
    return Layout(number, concepts, rng.choice(PLACES), (width, HEIGHT), boxes)


def _box(left: float, right: float, variant: str, rng: random.Random) -> Sequence[float]:
    """Left, top, right, bottom in pixels, within the column from left to right or a little beyond."""
    if variant == "touching":
        return left, 2, right, HEIGHT - 2
    if variant == "overlapping":
        return left - OVERLAP, 1, right + OVERLAP, HEIGHT - 1
    side = rng.choice((30, 32, 34))
    x = rng.uniform(left, right - side)
    y = min(max(rng.uniform(0.54, 0.6) * HEIGHT - side / 2, 0), HEIGHT - side)
    return x, y, x + side, y + side
