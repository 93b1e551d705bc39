"""Scenes, painted as toyworld paints its places, of kinds that toyworld has never seen."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from fedshow.toyworld.figures import Pen
from fedshow.toyworld.places import jitter
from fedshow.toyworld.world import RGB, rgb


@dataclass(frozen=True)
class Spot:
    """One scene: everything about it that stays the same from picture to picture."""

    kind: str
    sky: str
    land: str
    feature: str
    """Colour of what stands there."""


def paint_spot(spot: Spot, rng: random.Random, canvas: int) -> Image.Image:
    """An empty picture of the scene, `canvas` pixels wide and high."""
    sky, land, feature = (jitter(rgb(c), rng, 8) for c in (spot.sky, spot.land, spot.feature))
    image = _sky(sky, canvas)
    pen, line = ImageDraw.Draw(image), canvas * rng.uniform(0.54, 0.64)
    SPOTS[spot.kind](pen, feature, canvas, line, rng)
    pen.rectangle([0, line, canvas, canvas], fill=land)
    return image


def _sky(colour: RGB, canvas: int) -> Image.Image:
    share = np.linspace(0, 0.3, canvas)[:, None]
    column = (np.array(colour) * (1 - share) + 255 * share).astype(np.uint8)
    return Image.fromarray(np.repeat(column[:, None, :], canvas, 1))


def _sunset(pen: Pen, feature: RGB, canvas: int, line: float, rng: random.Random) -> None:
    x, radius = canvas * rng.uniform(0.3, 0.7), canvas * 0.26
    pen.ellipse([x - radius, line - radius, x + radius, line + radius], fill=feature)


def _hills(pen: Pen, feature: RGB, canvas: int, line: float, rng: random.Random) -> None:
    shift = canvas * rng.uniform(-0.1, 0.1)
    for x, width, rise in ((0.15, 0.4, 0.24), (0.75, 0.5, 0.32)):
        left, right = (x - width) * canvas + shift, (x + width) * canvas + shift
        pen.ellipse([left, line - rise * canvas, right, line + canvas], fill=feature)


def _lagoon(pen: Pen, feature: RGB, canvas: int, line: float, _: random.Random) -> None:
    pen.rectangle([0, line - canvas * 0.14, canvas, canvas], fill=feature)


def _peak(pen: Pen, feature: RGB, canvas: int, line: float, rng: random.Random) -> None:
    x = canvas * rng.uniform(0.4, 0.6)
    side = canvas * 0.42
    pen.polygon([(x - side, line), (x, canvas * 0.06), (x + side, line)], fill=feature)


def _snowfall(pen: Pen, feature: RGB, canvas: int, line: float, rng: random.Random) -> None:
    for k in range(10):
        x, y = (k + rng.random()) * canvas / 10, rng.uniform(0.04, 0.9) * line
        radius = canvas * rng.uniform(0.022, 0.034)
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=feature)


def _wall(pen: Pen, feature: RGB, canvas: int, line: float, _: random.Random) -> None:
    for k in range(0, 8, 2):
        pen.rectangle([k * canvas / 8, 0, (k + 1) * canvas / 8, line], fill=feature)


SPOTS: dict[str, Callable[[Pen, RGB, int, float, random.Random], None]] = {
    "sunset": _sunset,
    "hills": _hills,
    "lagoon": _lagoon,
    "peak": _peak,
    "snowfall": _snowfall,
    "wall": _wall,
}
