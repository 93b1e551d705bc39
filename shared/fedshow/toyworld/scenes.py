"""Pictures of scenes: characters set into a place, with the masks of who is where."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageFilter

from fedshow.pictures import HALF
from fedshow.toyworld.figures import draw_character
from fedshow.toyworld.places import paint_place
from fedshow.toyworld.world import Scene

SUPERSAMPLING = 4
_TILT_DEGREES = 12
Box = tuple[int, int, int, int]
Figure = Callable[[random.Random], Image.Image]
"""Draws a sprite, RGBA and square."""


@dataclass(frozen=True)
class Picture:
    """A drawn scene: `image` is RGB, `masks` holds one L image for each character."""

    scene: Scene
    image: Image.Image
    masks: tuple[Image.Image, ...]

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Left, top, right, bottom of each character, in pixels."""
        whole = (0, 0, *self.image.size)
        return tuple(m.point(HALF).getbbox() or whole for m in self.masks)

    @property
    def outline(self) -> Image.Image:
        """White contours of the characters on black, for control modules."""
        return outline_of(self.masks, self.image.size)

    def array(self) -> npt.NDArray[np.uint8]:
        """The image as height × width × 3 bytes."""
        return np.asarray(self.image, dtype=np.uint8)


def outline_of(masks: Iterable[Image.Image], size: tuple[int, int]) -> Image.Image:
    """White contours of figures on black; each mask is L, of this width and height."""
    outline = Image.new("L", size, 0)
    for mask in masks:
        edges = ImageChops.subtract(mask, mask.filter(ImageFilter.MinFilter(3)))
        outline = ImageChops.lighter(outline, edges)
    return outline


def draw(scene: Scene, rng: random.Random, size: int = 32) -> Picture:
    """A picture of the scene, `size` pixels wide and high; same `rng` state, same picture."""
    canvas = size * SUPERSAMPLING
    figures = [partial(draw_character, character) for character in scene.characters]
    image, masks = compose(paint_place(scene.place, rng, canvas), figures, rng)
    return Picture(scene, image, masks)


def compose(
    image: Image.Image, figures: Sequence[Figure], rng: random.Random
) -> tuple[Image.Image, tuple[Image.Image, ...]]:
    """A background, SUPERSAMPLING times as large as the picture, with up to two figures; and their masks."""
    masks: list[Image.Image] = []
    for position, figure in enumerate(figures):
        mask = _set_in(image, figure, position, len(figures) == 2, rng)
        masks = [ImageChops.subtract(below, mask) for below in masks] + [mask]
    size = image.width // SUPERSAMPLING, image.height // SUPERSAMPLING
    small = tuple(m.resize(size, Image.Resampling.BOX) for m in masks)
    return image.resize(size, Image.Resampling.LANCZOS), small


def _set_in(
    image: Image.Image, figure: Figure, position: int, pair: bool, rng: random.Random
) -> Image.Image:
    """Paste one figure into the image; gives its mask at the image's size."""
    canvas = image.width
    side = int(canvas * (rng.uniform(0.5, 0.56) if pair else rng.uniform(0.6, 0.84)))
    sprite = figure(rng)
    sprite = sprite.resize((side, side), Image.Resampling.BILINEAR)
    sprite = sprite.rotate(rng.uniform(-_TILT_DEGREES, _TILT_DEGREES), Image.Resampling.BILINEAR)
    middle = rng.uniform(0.25, 0.27) if position == 0 else rng.uniform(0.73, 0.75)
    x = canvas * (middle if pair else rng.uniform(0.42, 0.58))
    y = canvas * rng.uniform(0.55, 0.61)
    corner = int(x - side / 2), int(y - side / 2)
    image.paste(sprite, corner, sprite)
    mask = Image.new("L", image.size, 0)
    mask.paste(sprite.getchannel("A"), corner)
    return mask
