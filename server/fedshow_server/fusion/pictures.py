"""A report as pictures: heat maps, drawn with Pillow."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from fedshow.releases.file_names import CROSSTALK, RESIDUALS
from fedshow_server.fusion.summary import short

CELL, GAP, FONT_SIZE = 18, 12, 12
WORST = 1.0
"""A value this high is as dark as it gets: as if the concept were absent."""

SHADES = ((255, 255, 255), (254, 204, 92), (240, 59, 32), (103, 0, 31))

Values = Sequence[Sequence[float]]


def report_pictures(
    concepts: Sequence[str], layers: Mapping[str, Mapping[str, Any]], summary: Mapping[str, Any]
) -> dict[str, bytes]:
    """File name to PNG: residual per layer and concept with the drift, and crosstalk between concepts."""
    if not layers:
        return {}
    rows = [[*layer["residual_heldout"], layer["drift"]] for layer in layers.values()]
    columns = [*(f"<{name}>" for name in concepts), "drift"]
    title = "What a concept misses, per layer (0 nothing, 1 all)"
    found = {RESIDUALS: heat_map(title, [short(layer) for layer in layers], columns, rows)}
    if "crosstalk" in summary:
        names = columns[:-1]
        title = "What a row's concept loses to a column's; on the diagonal to caution"
        found[CROSSTALK] = heat_map(title, names, names, summary["crosstalk"])
    return found


def heat_map(title: str, rows: Sequence[str], columns: Sequence[str], values: Values) -> bytes:
    """A PNG with one coloured cell per value, its rows and columns named, and a scale."""
    font = ImageFont.load_default(FONT_SIZE)
    left = int(max(font.getlength(name) for name in rows)) + 2 * GAP
    top = int(max(font.getlength(name) for name in columns)) + 2 * GAP + CELL
    width = max(left + CELL * len(columns), int(font.getlength(title)) + GAP) + GAP
    height = top + CELL * len(rows) + 3 * CELL
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    draw.text((GAP, GAP / 2), title, "black", font)
    for i, name in enumerate(rows):
        y = top + CELL * i
        draw.text((left - GAP / 2, y + CELL / 2), name, "black", font, anchor="rm")
        for j, value in enumerate(values[i]):
            x = left + CELL * j
            draw.rectangle((x, y, x + CELL - 2, y + CELL - 2), fill=shade(value), outline="#ddd")
    for j, name in enumerate(columns):
        image.paste(_upright(name, font), (left + CELL * j, top - GAP // 2 - _length(name, font)))
    _scale(draw, font, left, top + CELL * len(rows) + CELL)
    return _png(image)


def shade(value: float) -> tuple[int, int, int]:
    """White for 0, yellow, red, and darkest from WORST on."""
    place = min(max(value / WORST, 0.0), 1.0) * (len(SHADES) - 1)
    low = min(int(place), len(SHADES) - 2)
    share = place - low
    red, green, blue = (
        round(a + share * (b - a)) for a, b in zip(SHADES[low], SHADES[low + 1], strict=True)
    )
    return red, green, blue


def _upright(name: str, font: Any) -> Image.Image:
    flat = Image.new("RGB", (_length(name, font), CELL), "white")
    ImageDraw.Draw(flat).text((0, CELL / 2), name, "black", font, anchor="lm")
    return flat.rotate(90, expand=True)


def _length(name: str, font: Any) -> int:
    return int(font.getlength(name)) + 2


def _scale(draw: ImageDraw.ImageDraw, font: Any, x: int, y: int) -> None:
    for step in range(11):
        start = x + CELL * step // 2
        draw.rectangle((start, y, start + CELL // 2, y + CELL - 6), fill=shade(step / 10))
    draw.text((x - GAP / 2, y + CELL / 3), "0", "black", font, anchor="rm")
    draw.text((x + 11 * CELL // 2 + GAP / 2, y + CELL / 3), "1", "black", font, anchor="lm")


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return content.getvalue()
