"""Example pictures: what was asked for, beside what came."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.regions import study as layouts_study
from benchmarks.regions.layouts import layouts
from benchmarks.study.bench import Bench
from benchmarks.study.concepts import CONCEPTS
from benchmarks.study.drawing import chosen, fused_model, pictures, single_model
from benchmarks.study.prompts import Prompt
from benchmarks.study.questions import failures, regions
from benchmarks.study.ways import LORA, OURS, PARTS
from fedshow.edlora.methods import METHODS
from fedshow.sampling.grid import Row, grid

COLOURS = 128
"""In a sheet: as many as keep the file small and its pictures as they are to the eye."""

COLUMNS = 8
SHOWN = {"characters": 3, "objects": 2, "scenes": 3}


def save(rows: Sequence[Row], path: Path, cell: int = 72) -> None:
    """The grid as a small PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = grid(rows, cell).quantize(COLOURS, dither=Image.Dither.NONE)
    sheet.save(path, optimize=True)


def private(bench: Bench, name: str, count: int) -> list[Image.Image]:
    """The first private pictures."""
    folder = bench.work / "people" / name / "images"
    paths = [p for p in sorted(folder.glob("*.png")) if not p.name.endswith(".mask.png")]
    return [Image.open(path).convert("RGB") for path in paths[:count]]


def examples(bench: Bench) -> dict[str, str]:
    """One concept of each group, with the group's name, from the subset."""
    found: dict[str, str] = {}
    for name in bench.extent.subset:
        found.setdefault(CONCEPTS[name].group, name)
    return found


def draw_methods(bench: Bench, path: Path) -> None:
    """Every method on one concept of each group, and ED-LoRA's and LoRA's embeddings alone."""
    shown = examples(bench)
    rows: list[Row] = [("private pictures", _each(shown, lambda n, k: private(bench, n, k)))]
    for way in METHODS:
        rows.append((way, _each(shown, lambda n, k, w=way: _singles(bench, w, n, k))))
    for way in (OURS, LORA):
        rows.append(
            (
                f"{way},\nembedding alone",
                _each(shown, lambda n, k, w=way: _singles(bench, w, n, k, 0.0)),
            )
        )
    save(rows, path)


def draw_parts(bench: Bench, path: Path) -> None:
    """ED-LoRA without each of its parts."""
    shown = examples(bench)
    ways = (OURS, *PARTS)
    save([(w, _each(shown, lambda n, k, w=w: _singles(bench, w, n, k))) for w in ways], path)


def _each(shown: dict[str, str], draw: Any) -> list[Image.Image]:
    return [image for group, name in shown.items() for image in draw(name, SHOWN[group])]


def few(bench: Bench, name: str, count: int) -> list[Prompt]:
    """Prompts of different types."""
    every = chosen(bench, name)
    return [every[k * len(every) // count] for k in range(count)]


def _singles(
    bench: Bench, way: str, name: str, count: int, scale: float = 1.0
) -> list[Image.Image]:
    with single_model(bench, way, name) as model:
        return pictures(bench, model, few(bench, name, count), scale)


def largest(bench: Bench) -> tuple[str, ...]:
    """The set of most concepts."""
    return max((members for found in bench.extent.sets.values() for members in found), key=len)


def fused_examples(bench: Bench) -> tuple[str, ...]:
    """Some of them, half of these of one class."""
    members = largest(bench)
    return members[:: max(1, len(members) // COLUMNS)][:COLUMNS]


def draw_fusions(bench: Bench, path: Path) -> None:
    """The first concepts of the largest set: by themselves and out of fusions."""
    members, shown = largest(bench), fused_examples(bench)
    rows: list[Row] = [("private pictures", [private(bench, name, 1)[0] for name in shown])]
    rows += [
        (f"{way}, single", [_singles(bench, way, n, 1)[0] for n in shown]) for way in (OURS, LORA)
    ]
    for way, rule in ((OURS, "gradient"), (OURS, "average"), (LORA, "average")):
        with fused_model(bench, way, rule, members) as model:
            drawn = [pictures(bench, model, few(bench, name, 1))[0] for name in shown]
        rows.append((f"{way},\n{rule} of {len(members)}", drawn))
    save(rows, path)


def draw_regions(bench: Bench, path: Path) -> None:
    """The same layouts in every way."""
    model = layouts_study.release(regions.prepare(bench), "fused")
    shown = [layouts(count, "apart", 1)[0] for count in (2, 3, 4)]
    rows = []
    for way, label in regions.WAYS.items():
        _, options = layouts_study.WAYS[way]
        steps = bench.extent.drawing_steps
        drawn = [layouts_study.draw(model, one, steps=steps, **options) for one in shown]
        rows.append((label.replace(", ", ",\n"), drawn))
    save(rows, path, 216)


def draw_failures(bench: Bench, found: dict[str, Any], raw: Sequence[Any], path: Path) -> None:
    """One row for each kind of failure."""
    cast = failures.cast_of(bench)
    pairs = found["cast"]["pairs"]
    with fused_model(bench, OURS, failures.RULE, cast.members) as model:
        rows: list[Row] = [
            (
                f"{kind}, {'regions' if by_regions else 'one prompt'}:\n{' and '.join(pair)}",
                failures.pair_pictures(bench, model, tuple(pair), by_regions, COLUMNS),
            )
            for kind, pair in pairs.items()
            for by_regions in (False, True)
        ]
        small = [
            failures.boxed(bench, model, [cast.twin[0]], [failures.centred(36, side)], 1)[0][0]
            for side in failures.SIDES
        ]
        rows.append((f"boxes of {failures.SIDES[0]} to\n{failures.SIDES[-1]} pixels", small))
        two = tuple(list(pairs.values())[-1])
        shared = [
            failures.boxed(bench, model, two, failures.overlapping(s), 1)[0][0]
            for s in failures.OVERLAPS
        ]
        rows.append(
            (f"boxes that share {failures.OVERLAPS[0]}\nto {failures.OVERLAPS[-1]} columns", shared)
        )
        texts = [text.format(cast.twin[0]) for text in failures.FAR]
        steps = bench.extent.drawing_steps
        rows.append(("words that the base\nnever read", model(texts, seed=300, steps=steps).images))
    save([*rows, *_worst(bench, raw)], path)


def _worst(bench: Bench, raw: Sequence[Any]) -> list[Row]:
    """The concepts that lost most: a private picture, then pairs of before and after."""
    lost = failures.worst(raw, count=2)
    members = largest(bench)
    rows: list[Row] = []
    for one in lost:
        name = one["concept"]
        before = _singles(bench, OURS, name, 3)
        with fused_model(bench, OURS, failures.RULE, members) as model:
            after = pictures(bench, model, few(bench, name, 3))
        pairs = [image for both in zip(before, after, strict=True) for image in both]
        rows.append(
            (
                f"{name}: private, then alone\nand out of {len(members)} fused",
                [*private(bench, name, 1), *pairs],
            )
        )
    return rows
