"""Pictures of an evaluation: a row for each prompt, a column for each model, the same seeds."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from fedshow.evaluation.measuring import Drawn
from fedshow.sampling.grid import Row, grid

LEAST, MOST = 96, 256
SIGNS = 26
"""Of a label's line."""


def sheet(drawn: Sequence[Drawn], classes: Mapping[str, str]) -> Image.Image:
    """What every model draws of each concept from the first seed, then of the scenes."""
    shown = [(plan, pictures) for plan, pictures in drawn if plan.is_shown]
    edge = max(max(image.size) for image in _firsts(shown))
    cell = min(MOST, max(LEAST, edge))
    rows: list[Row] = []
    for name in classes:
        rows += _rows(f"<{name}>", [one for one in shown if name in one[0].concepts], name, cell)
    for scene in dict.fromkeys(name for plan, _ in shown for name in plan.scenes):
        having = [one for one in shown if scene in one[0].scenes]
        images = [pictures.of(plan.scenes[scene])[0] for plan, pictures in having]
        rows += [_heads(scene, having, cell), ("by regions", images)]
    return grid(rows, cell)


def _rows(title: str, having: Sequence[Drawn], name: str, cell: int) -> Iterator[Row]:
    if not having:
        return
    yield _heads(title, having, cell)
    tables = [(plan.concepts[name], pictures) for plan, pictures in having]
    for number in range(len(tables[0][0].prompts)):
        images = [pictures.row(t, t.prompts[number])[0] for t, pictures in tables]
        yield textwrap.fill(tables[-1][0].prompts[number], SIGNS), images


def _heads(title: str, having: Sequence[Drawn], cell: int) -> Row:
    return title, [_head(plan.candidate.name, cell) for plan, _ in having]


def _head(text: str, width: int) -> Image.Image:
    """A model's name as a picture as wide as its column."""
    font, lines = ImageFont.load_default(12), textwrap.wrap(text, max(8, width // 7)) or [""]
    head = Image.new("RGB", (width, 16 * len(lines) + 2), "white")
    ImageDraw.Draw(head).multiline_text((0, 0), "\n".join(lines), "black", font)
    return head


def _firsts(shown: Sequence[Drawn]) -> Iterator[Image.Image]:
    for plan, pictures in shown:
        for table in plan.concepts.values():
            yield pictures.row(table, table.prompts[0])[0]
