"""Sheets of pictures that toyworld alone has, and how all of its are kept: small and few-coloured."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.regions import study as layouts_study
from benchmarks.regions.layouts import layouts
from benchmarks.study.bench import Bench
from benchmarks.study.drawing import fused_model
from benchmarks.study.pages.sheets import COLUMNS, Rows
from benchmarks.study.toyworld import failures as cases
from benchmarks.study.toyworld import regions as layouts_of
from benchmarks.study.ways import OURS
from fedshow.sampling.grid import Row, grid

COLOURS = 128
"""In a sheet: as many as keep the file small and its pictures as they are to the eye."""

SMALL, LARGE = 72, 216
"""Edge of a cell in pixels."""


def save(rows: Sequence[Row], path: Path, cell: int = SMALL) -> None:
    """The grid as a small PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = grid(rows, cell).quantize(COLOURS, dither=Image.Dither.NONE)
    sheet.save(path, optimize=True)


def regions(bench: Bench) -> Rows:
    """The same layouts in every way."""
    model = layouts_study.release(layouts_of.prepare(bench), "fused")
    shown = [layouts(count, "apart", 1)[0] for count in (2, 3, 4)]
    rows: Rows = []
    for way, label in layouts_of.WAYS.items():
        _, options = layouts_study.WAYS[way]
        steps = bench.extent.drawing_steps
        drawn = [layouts_study.draw(model, one, steps=steps, **options) for one in shown]
        rows.append((label.replace(", ", ",\n"), drawn))
    return rows


def failures(bench: Bench, found: dict[str, Any]) -> Rows:
    """One row for each kind of failure."""
    cast = cases.cast_of(bench)
    pairs = found["cast"]["pairs"]
    with fused_model(bench, OURS, cases.RULE, cast.members) as model:
        rows: Rows = [
            (
                f"{kind}, {'regions' if by_regions else 'one prompt'}:\n{' and '.join(pair)}",
                cases.pair_pictures(bench, model, tuple(pair), by_regions, COLUMNS),
            )
            for kind, pair in pairs.items()
            for by_regions in (False, True)
        ]
        small = [
            cases.boxed(bench, model, [cast.twin[0]], [cases.centred(36, side)], 1)[0][0]
            for side in cases.SIDES
        ]
        rows.append((f"boxes of {cases.SIDES[0]} to\n{cases.SIDES[-1]} pixels", small))
        two = tuple(list(pairs.values())[-1])
        shared = [
            cases.boxed(bench, model, two, cases.overlapping(s), 1)[0][0] for s in cases.OVERLAPS
        ]
        label = f"boxes that share {cases.OVERLAPS[0]}\nto {cases.OVERLAPS[-1]} columns"
        rows.append((label, shared))
        texts = [text.format(cast.twin[0]) for text in cases.FAR]
        steps = bench.extent.drawing_steps
        rows.append(("words that the base\nnever read", model(texts, seed=300, steps=steps).images))
    return rows
