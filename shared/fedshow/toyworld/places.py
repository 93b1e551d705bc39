"""The places: backgrounds drawn at supersampled size."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from fedshow.toyworld.world import RGB

Painter = Callable[[random.Random, int], Image.Image]


def jitter(colour: RGB, rng: random.Random, amount: float = 10.0) -> RGB:
    """The colour with each channel moved by up to `amount`."""
    red, green, blue = (int(min(255, max(0, v + rng.uniform(-amount, amount)))) for v in colour)
    return red, green, blue


def paint_place(place: str, rng: random.Random, canvas: int) -> Image.Image:
    """An empty picture of the place, `canvas` pixels wide and high."""
    return _PAINTERS[place](rng, canvas)


def _gradient(top: RGB, bottom: RGB, canvas: int) -> Image.Image:
    share = np.linspace(0, 1, canvas)[:, None]
    column = (np.array(top) * (1 - share) + np.array(bottom) * share).astype(np.uint8)
    return Image.fromarray(np.repeat(column[:, None, :], canvas, 1))


def _disc(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: RGB) -> None:
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=fill)


def _horizon(rng: random.Random, canvas: int) -> float:
    return canvas * rng.uniform(0.54, 0.64)


def _beach(rng: random.Random, canvas: int) -> Image.Image:
    image = _gradient(jitter((120, 200, 250), rng), jitter((205, 235, 255), rng), canvas)
    pen, line = ImageDraw.Draw(image), _horizon(rng, canvas)
    pen.rectangle([0, line - canvas * 0.14, canvas, canvas], fill=jitter((40, 140, 205), rng))
    pen.rectangle([0, line, canvas, canvas], fill=jitter((240, 215, 150), rng))
    _disc(pen, rng.uniform(0.1, 0.9) * canvas, canvas * 0.12, canvas * 0.075, (255, 226, 90))
    return image


def _grass(rng: random.Random, canvas: int) -> Image.Image:
    image = _gradient(jitter((140, 205, 250), rng), jitter((215, 240, 255), rng), canvas)
    pen = ImageDraw.Draw(image)
    pen.rectangle([0, _horizon(rng, canvas), canvas, canvas], fill=jitter((100, 190, 80), rng))
    for _ in range(2):
        x, y = rng.uniform(0, canvas), rng.uniform(0.06, 0.2) * canvas
        for shift in (-0.06, 0.0, 0.06):
            _disc(pen, x + shift * canvas, y, canvas * 0.05, (255, 255, 255))
    return image


def _snow(rng: random.Random, canvas: int) -> Image.Image:
    image = _gradient(jitter((160, 186, 214), rng), jitter((205, 222, 238), rng), canvas)
    pen = ImageDraw.Draw(image)
    pen.rectangle([0, _horizon(rng, canvas), canvas, canvas], fill=jitter((243, 247, 252), rng, 5))
    for _ in range(8):
        x, y = rng.uniform(0, canvas), rng.uniform(0, 0.6 * canvas)
        _disc(pen, x, y, canvas * rng.uniform(0.016, 0.026), (255, 255, 255))
    return image


def _night(rng: random.Random, canvas: int) -> Image.Image:
    image = _gradient(jitter((18, 22, 74), rng, 8), jitter((52, 56, 126), rng, 8), canvas)
    pen, line = ImageDraw.Draw(image), _horizon(rng, canvas)
    pen.rectangle([0, line, canvas, canvas], fill=jitter((34, 76, 68), rng, 8))
    for _ in range(7):
        x, y = rng.uniform(0, canvas), rng.uniform(0, 0.8 * line)
        _disc(pen, x, y, canvas * rng.uniform(0.01, 0.018), (255, 250, 210))
    _disc(pen, rng.uniform(0.1, 0.9) * canvas, canvas * 0.13, canvas * 0.08, (245, 240, 205))
    return image


def _desert(rng: random.Random, canvas: int) -> Image.Image:
    image = _gradient(jitter((250, 180, 105), rng), jitter((255, 228, 170), rng), canvas)
    pen, line = ImageDraw.Draw(image), _horizon(rng, canvas)
    x = rng.uniform(0, canvas)
    dune = [x - canvas * 0.4, line - canvas * 0.1, x + canvas * 0.4, line + canvas * 0.3]
    pen.ellipse(dune, fill=jitter((224, 164, 94), rng))
    pen.rectangle([0, line, canvas, canvas], fill=jitter((210, 146, 78), rng))
    return image


def _plain(rng: random.Random, canvas: int) -> Image.Image:
    return Image.new("RGB", (canvas, canvas), jitter((246, 246, 246), rng, 6))


_PAINTERS: dict[str, Painter] = {
    "beach": _beach,
    "grass": _grass,
    "snow": _snow,
    "night": _night,
    "desert": _desert,
    "plain": _plain,
}
