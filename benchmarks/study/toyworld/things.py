"""Objects as sprites, drawn as toyworld draws its characters, of kinds that toyworld has never seen.

Coordinates are those of a 160 x 160 sheet; x = 80 is the middle.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw

from fedshow.toyworld.figures import SHEET, Pen, shade
from fedshow.toyworld.places import jitter
from fedshow.toyworld.world import RGB, rgb

_LINE = 4


@dataclass(frozen=True)
class Thing:
    """One object: everything about it that stays the same from picture to picture."""

    kind: str
    colour: str
    second: str
    """Of its band, wheels, foot, icing."""


def draw_thing(thing: Thing, rng: random.Random) -> Image.Image:
    """The object as a square RGBA sprite; `rng` moves only shades and small parts."""
    sheet = Image.new("RGBA", (SHEET, SHEET), (0, 0, 0, 0))
    colour, second = jitter(rgb(thing.colour), rng, 5), jitter(rgb(thing.second), rng, 5)
    THINGS[thing.kind](ImageDraw.Draw(sheet), colour, second, rng.uniform(-1, 1))
    left, top, right, bottom = sheet.getbbox() or (0, 0, SHEET, SHEET)
    side = max(right - left, bottom - top, 126)
    x, y = (left + right - side) // 2, (top + bottom - side) // 2
    return sheet.crop((x, y, x + side, y + side))


def _ball(pen: Pen, colour: RGB, second: RGB, lot: float) -> None:
    box, edge = [26, 30, 134, 138], shade(colour, 0.45)
    pen.ellipse(box, fill=colour)
    pen.pieslice(box, -30 + 6 * lot, 30 + 6 * lot, fill=second)
    pen.pieslice(box, 150 + 6 * lot, 210 + 6 * lot, fill=second)
    pen.ellipse(box, outline=edge, width=_LINE)


def _gift(pen: Pen, colour: RGB, second: RGB, lot: float) -> None:
    pen.rectangle([30, 48, 130, 140], colour, shade(colour, 0.45), _LINE)
    pen.rectangle([68 + 2 * lot, 50, 92 + 2 * lot, 138], fill=second)
    pen.rectangle([32, 82, 128, 104], fill=second)


def _mushroom(pen: Pen, colour: RGB, second: RGB, lot: float) -> None:
    stem = [54 + 2 * lot, 88, 106 + 2 * lot, 142]
    pen.rounded_rectangle(stem, 14, second, shade(second, 0.5), _LINE)
    pen.chord([20, 24, 140, 156], 180, 360, colour, shade(colour, 0.45), _LINE)


def _balloon(pen: Pen, colour: RGB, second: RGB, lot: float) -> None:
    pen.line([(80, 118), (80 + 8 * lot, 134), (80, 152)], fill=second, width=8)
    pen.ellipse([34, 10, 126, 116], fill=colour, outline=shade(colour, 0.45), width=_LINE)
    pen.polygon([(80, 106), (62, 128), (98, 128)], fill=second)


def _drum(pen: Pen, colour: RGB, second: RGB, lot: float) -> None:
    edge = shade(colour, 0.45)
    pen.rounded_rectangle([28, 46, 132, 140], 10, colour, edge, _LINE)
    pen.rectangle([28, 46, 132, 70 + 2 * lot], fill=second, outline=edge, width=3)
    pen.rectangle([28, 116 + 2 * lot, 132, 140], fill=second, outline=edge, width=3)


def _lamp(pen: Pen, colour: RGB, second: RGB, lot: float) -> None:
    pen.rectangle([68, 84, 92, 132], fill=second, outline=shade(second, 0.5), width=2)
    pen.rounded_rectangle([40, 122, 120, 142], 7, second, shade(second, 0.5), 3)
    top = 80 + 4 * lot
    shape = [(top - 28, 24), (top + 28, 24), (136, 88), (24, 88)]
    pen.polygon(shape, fill=colour, outline=shade(colour, 0.45), width=_LINE)


THINGS: dict[str, Callable[[Pen, RGB, RGB, float], None]] = {
    "ball": _ball,
    "gift": _gift,
    "mushroom": _mushroom,
    "balloon": _balloon,
    "drum": _drum,
    "lamp": _lamp,
}
