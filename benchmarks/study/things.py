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
    side = max(right - left, bottom - top)
    x, y = (left + right - side) // 2, (top + bottom - side) // 2
    return sheet.crop((x, y, x + side, y + side))


def _ball(pen: Pen, colour: RGB, second: RGB, lot: float) -> None:
    box, edge = [26, 30, 134, 138], shade(colour, 0.45)
    pen.ellipse(box, fill=colour)
    pen.pieslice(box, -28 + 6 * lot, 28 + 6 * lot, fill=second)
    pen.pieslice(box, 152 + 6 * lot, 208 + 6 * lot, fill=second)
    pen.ellipse(box, outline=edge, width=_LINE)


def _gift(pen: Pen, colour: RGB, second: RGB, lot: float) -> None:
    edge = shade(second, 0.6)
    pen.rectangle([30, 48, 130, 140], colour, shade(colour, 0.45), _LINE)
    pen.rectangle([70, 48, 90, 140], fill=second)
    pen.rectangle([32, 86, 128, 102], fill=second)
    for side in (-1, 1):
        x, y = 80 + side * 18, 36 + 3 * lot * side
        pen.ellipse([x - 18, y - 14, x + 18, y + 14], fill=second, outline=edge, width=3)


def _mushroom(pen: Pen, colour: RGB, second: RGB, lot: float) -> None:
    edge = shade(colour, 0.45)
    stem = [56 + 2 * lot, 88, 104 + 2 * lot, 142]
    pen.rounded_rectangle(stem, 14, (246, 236, 214), (150, 132, 104), _LINE)
    pen.chord([20, 24, 140, 156], 180, 360, fill=colour, outline=edge, width=_LINE)
    for x, y, r in ((50, 70, 11), (82, 48, 13), (112, 70, 11)):
        pen.ellipse([x - r, y - r, x + r, y + r], fill=second)


def _balloon(pen: Pen, colour: RGB, second: RGB, lot: float) -> None:
    edge = shade(colour, 0.45)
    pen.line([(80, 118), (80 + 8 * lot, 134), (80, 152)], fill=second, width=6)
    pen.ellipse([34, 10, 126, 116], fill=colour, outline=edge, width=_LINE)
    pen.polygon([(80, 110), (66, 126), (94, 126)], fill=second)
    pen.ellipse([50, 28, 78, 62], fill=second)


def _drum(pen: Pen, colour: RGB, second: RGB, lot: float) -> None:
    edge = shade(colour, 0.45)
    pen.rounded_rectangle([28, 46, 132, 140], 10, colour, edge, _LINE)
    pen.rectangle([28, 46, 132, 70], fill=second, outline=edge, width=3)
    pen.rectangle([28, 118, 132, 140], fill=second, outline=edge, width=3)
    x = 80 + 4 * lot
    pen.line([x - 26, 20, x + 4, 48], fill=shade(second, 0.6), width=8)
    pen.line([x + 26, 20, x - 4, 48], fill=shade(second, 0.6), width=8)


def _lamp(pen: Pen, colour: RGB, second: RGB, lot: float) -> None:
    edge = shade(colour, 0.45)
    pen.rectangle([72, 74, 88, 132], fill=second, outline=shade(second, 0.5), width=2)
    pen.rounded_rectangle([42, 126, 118, 144], 7, second, shade(second, 0.5), 3)
    top = 80 + 4 * lot
    shape = [(top - 28, 20), (top + 28, 20), (136, 86), (24, 86)]
    pen.polygon(shape, fill=colour, outline=edge, width=_LINE)


THINGS: dict[str, Callable[[Pen, RGB, RGB, float], None]] = {
    "ball": _ball,
    "gift": _gift,
    "mushroom": _mushroom,
    "balloon": _balloon,
    "drum": _drum,
    "lamp": _lamp,
}
