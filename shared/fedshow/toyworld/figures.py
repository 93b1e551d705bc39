"""The characters as sprites. Coordinates are those of a 160 × 160 sheet; x = 80 is the middle."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

from fedshow.toyworld.places import jitter
from fedshow.toyworld.world import RGB, Character, rgb

SHEET = 160
_MIDDLE = SHEET / 2
_EYES_Y = 84.0
_LINE = 4
_WHITE: RGB = (255, 255, 255)
_INK: RGB = (28, 28, 38)

_BODIES: dict[str, tuple[int, int, int, int]] = {
    "monster": (34, 46, 126, 140),
    "robot": (38, 50, 122, 138),
    "bunny": (38, 58, 122, 142),
    "kitten": (34, 54, 126, 140),
    "chick": (32, 48, 128, 142),
}
_CORNERS = {"monster": 38, "robot": 8}  # the other bodies are ellipses
_HEAD_TOPS = {"monster": 50, "robot": 52, "bunny": 64, "kitten": 60, "chick": 52}

Pen = ImageDraw.ImageDraw


def draw_character(character: Character, rng: random.Random) -> Image.Image:
    """The character as a square RGBA sprite; `rng` moves only its pose and expression."""
    sheet = Image.new("RGBA", (SHEET, SHEET), (0, 0, 0, 0))
    colour = jitter(rgb(character.colour), rng, 5)
    edge = shade(colour, 0.45)
    pen = ImageDraw.Draw(sheet)
    _limbs(pen, character.kind, shade(colour, 0.7), rng)
    _ears(pen, character.kind, colour, edge)
    sheet.paste(_skin(character, colour), (0, 0), _body_mask(character.kind))
    _body(pen, character.kind, outline=edge)
    _face(pen, character.kind, edge, rng)
    _mark(pen, character)
    _accessory(pen, character)
    return _squared(sheet)


def shade(colour: RGB, factor: float) -> RGB:
    """The colour darkened by `factor`."""
    return int(colour[0] * factor), int(colour[1] * factor), int(colour[2] * factor)


def _squared(sheet: Image.Image) -> Image.Image:
    """The sheet cut to a square around what is drawn on it."""
    left, top, right, bottom = sheet.getbbox() or (0, 0, SHEET, SHEET)
    side = max(right - left, bottom - top, 126)
    x, y = (left + right - side) // 2, (top + bottom - side) // 2
    return sheet.crop((x, y, x + side, y + side))


def _limbs(pen: Pen, kind: str, fill: RGB, rng: random.Random) -> None:
    left, _, right, bottom = _BODIES[kind]
    lift = rng.uniform(-1, 1)
    for side in (-1, 1):
        x, y = _MIDDLE + side * (right - left) * 0.46, 102
        up = lift if side > 0 or rng.random() < 0.67 else -lift
        pen.line([x, y, x + side * 22, y - 24 * up], fill=fill, width=13)
        foot = _MIDDLE + side * 22
        pen.ellipse([foot - 13, bottom - 8, foot + 13, bottom + 12], fill=fill)


def _ears(pen: Pen, kind: str, colour: RGB, edge: RGB) -> None:
    if kind == "robot":
        pen.line([80, 52, 80, 30], fill=edge, width=6)
        pen.ellipse([71, 20, 89, 38], fill=(250, 90, 70), outline=edge)
    for side in (-1, 1):
        if kind == "bunny":
            x = _MIDDLE + side * 18
            pen.ellipse([x - 12, 14, x + 12, 80], fill=colour, outline=edge, width=_LINE)
            pen.ellipse([x - 5, 26, x + 5, 68], fill=(250, 185, 195))
        if kind == "kitten":
            ear = [(80 + side * 42, 76), (80 + side * 38, 26), (80 + side * 6, 58)]
            pen.polygon(ear, fill=colour, outline=edge, width=_LINE)
        if kind == "monster":
            horn = [(80 + side * 36, 62), (80 + side * 44, 22), (80 + side * 12, 50)]
            pen.polygon(horn, fill=(245, 235, 200), outline=edge, width=2)


def _body(pen: Pen, kind: str, fill: int | RGB | None = None, outline: RGB | None = None) -> None:
    if kind in _CORNERS:
        pen.rounded_rectangle(_BODIES[kind], _CORNERS[kind], fill, outline, _LINE)
    else:
        pen.ellipse(_BODIES[kind], fill, outline, _LINE)


def _body_mask(kind: str) -> Image.Image:
    mask = Image.new("L", (SHEET, SHEET), 0)
    _body(ImageDraw.Draw(mask), kind, fill=255)
    return mask


def _skin(character: Character, colour: RGB) -> Image.Image:
    """The colour and pattern of the body, over the whole sheet."""
    skin = Image.new("RGBA", (SHEET, SHEET), (*colour, 255))
    pen, second = ImageDraw.Draw(skin), rgb(character.pattern_colour)
    if character.pattern == "spotted":
        for x, y, r in ((50, 70, 10), (110, 70, 10), (56, 122, 11), (104, 122, 11), (80, 134, 9)):
            pen.ellipse([x - r, y - r, x + r, y + r], fill=second)
        for x in (40, 120):
            pen.ellipse([x - 9, 89, x + 9, 107], fill=second)
    if character.pattern == "striped":
        for y in (54, 100, 123):
            pen.rectangle([0, y, SHEET, y + 11], fill=second)
    return skin


def _face(pen: Pen, kind: str, edge: RGB, rng: random.Random) -> None:
    look = rng.uniform(-3, 3)
    _EYES.get(kind, _round_eyes)(pen, edge, look)
    if kind == "chick":
        pen.polygon([(68, 96), (92, 96), (80, 114)], fill=(250, 150, 30), outline=(180, 95, 10))
    elif rng.random() < 0.5:
        pen.arc([68, 92, 92, 108], 10, 170, fill=(40, 20, 30), width=4)
    else:
        pen.ellipse([72, 100, 88, 112], fill=(120, 25, 40))


def _one_eye(pen: Pen, edge: RGB, look: float) -> None:
    x, y = _MIDDLE, _EYES_Y - 4
    pen.ellipse([x - 19, y - 19, x + 19, y + 19], fill=_WHITE, outline=edge, width=3)
    pen.ellipse([x - 8 + look, y - 8, x + 8 + look, y + 8], fill=_INK)


def _square_eyes(pen: Pen, edge: RGB, look: float) -> None:
    for x, y in ((60, _EYES_Y), (100, _EYES_Y)):
        pen.rectangle([x - 11, y - 11, x + 11, y + 11], (215, 245, 255), edge, 3)
        pen.rectangle([x - 4 + look, y - 4, x + 4 + look, y + 4], fill=_INK)


def _round_eyes(pen: Pen, edge: RGB, look: float) -> None:
    for x, y in ((62, _EYES_Y), (98, _EYES_Y)):
        pen.ellipse([x - 10, y - 12, x + 10, y + 12], fill=_WHITE, outline=edge, width=3)
        pen.ellipse([x - 6 + look, y - 5, x + 6 + look, y + 8], fill=_INK)


_EYES: dict[str, Callable[[Pen, RGB, float], None]] = {
    "monster": _one_eye,
    "robot": _square_eyes,
}


def _mark(pen: Pen, character: Character) -> None:
    fill, x, y = rgb(character.mark_colour), _MIDDLE, 124.0
    if character.mark == "heart":
        for side in (-1, 1):
            pen.ellipse([x + side * 9 - 11, y - 15, x + side * 9 + 11, y + 7], fill=fill)
        pen.polygon([(x - 19, y), (x + 19, y), (x, y + 18)], fill=fill)
    if character.mark == "star":
        pen.polygon(_star(x, y + 1, 21), fill=fill)
    if character.mark == "zigzag":
        steps = [(40 + 13.3 * i, y - 8 + 14 * (i % 2)) for i in range(7)]
        pen.line(steps, fill=fill, width=10)
    if character.mark == "cross":
        pen.rectangle([x - 5, y - 16, x + 5, y + 16], fill=fill)
        pen.rectangle([x - 18, y - 5, x + 18, y + 5], fill=fill)
    if character.mark == "ring":
        pen.ellipse([x - 18, y - 16, x + 18, y + 16], outline=fill, width=8)


def _star(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """The ten corners of a five-pointed star."""
    reach = [radius if i % 2 == 0 else radius * 0.45 for i in range(10)]
    turn = [math.pi * (i / 5 - 0.5) for i in range(10)]
    return [(x + r * math.cos(a), y + r * math.sin(a)) for r, a in zip(reach, turn, strict=True)]


def _accessory(pen: Pen, character: Character) -> None:
    put_on = _ACCESSORIES.get(character.accessory)
    if put_on is not None:
        fill = rgb(character.accessory_colour)
        put_on(pen, _HEAD_TOPS[character.kind], fill, shade(fill, 0.5))


def _top_hat(pen: Pen, top: int, fill: RGB, edge: RGB) -> None:
    pen.rectangle([56, top - 38, 104, top], fill=fill, outline=edge, width=3)
    pen.rectangle([40, top - 8, 120, top + 5], fill=fill, outline=edge, width=3)


def _party_hat(pen: Pen, top: int, fill: RGB, edge: RGB) -> None:
    pen.polygon([(52, top + 4), (108, top + 4), (80, top - 48)], fill=fill, outline=edge, width=3)
    pen.ellipse([71, top - 52, 89, top - 36], fill=_WHITE)


def _scarf(pen: Pen, _top: int, fill: RGB, edge: RGB) -> None:
    pen.rounded_rectangle([36, 106, 124, 122], 6, fill=fill, outline=edge, width=3)
    pen.rectangle([94, 114, 114, 150], fill=fill, outline=edge, width=3)


def _bow(pen: Pen, top: int, fill: RGB, edge: RGB) -> None:
    x, y = 112, top + 4
    for side in (-1, 1):
        wing = [(x, y), (x + side * 26, y - 17), (x + side * 26, y + 17)]
        pen.polygon(wing, fill=fill, outline=edge, width=3)
    pen.ellipse([x - 7, y - 7, x + 7, y + 7], fill=edge)


_ACCESSORIES: dict[str, Callable[[Pen, int, RGB, RGB], None]] = {
    "top hat": _top_hat,
    "party hat": _party_hat,
    "scarf": _scarf,
    "bow": _bow,
}
