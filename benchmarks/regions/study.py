"""Pictures of all layouts in every way, drawn once and read."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from PIL.Image import Image

from benchmarks.fusing.concepts import concept_path, tune_character
from benchmarks.ledger import Ledger, work_off
from benchmarks.private_folder import person
from benchmarks.regions import reading
from benchmarks.regions.layouts import CHARACTERS, LAYOUTS, VARIANTS, Layout, layouts
from fedshow.sampling.conditions import Condition
from fedshow.sampling.loading import load
from fedshow.sampling.model import Model
from fedshow.sampling.recipe import Recipe
from fedshow.scoring.prompts import PLACES
from fedshow_server.fusion.offline import fuse_to_folder

COUNTS = (2, 3, 4)
SEED = 9000
Way = Mapping[str, Any]
WEAKER: Way = {"scale": 0.8}
"""Concepts are tuned on pictures half as wide and less, and overdo it on these."""

WINDOWS: Way = {"windows": 1.0}
WAYS: dict[str, tuple[str, Way]] = {
    "windows": ("fused", WINDOWS),
    "half": ("fused", {"windows": 0.5}),
    "sketched": ("fused", {**WINDOWS, "sketched": True}),
    "regions": ("fused", WEAKER),
    "called": ("fused", {**WEAKER, "presence": 0.5, "layout": 0.3}),
    "separated": ("fused", {**WEAKER, "separation": 1.0}),
    "plain": ("fused", {**WEAKER, "plain": True}),
    "average": ("average", WINDOWS),
    "average-plain": ("average", {**WEAKER, "plain": True}),
}
"""By name: the release, and how it draws. `regions` is the paper's."""

EVERYWHERE = ("windows", "regions", "called")
"""Ways that are tried with boxes that touch and overlap, too."""

Kind = tuple[str, int, str]
"""Way, number of concepts, how boxes lie."""


@dataclass(frozen=True)
class Amount:
    """How much is drawn."""

    layouts: int = LAYOUTS
    """Of each kind."""

    singles: int = 12
    """Pictures of each concept by itself on every place."""

    steps: int = 20

    @property
    def changes(self) -> dict[str, int]:
        """What names results of it beside the number of layouts: nothing, as long as it is the usual."""
        usual = Amount(self.layouts)
        named = {"singles": self.singles, "steps": self.steps}
        return {name: value for name, value in named.items() if value != getattr(usual, name)}


METHODS = {"fused": "gradient", "average": "average"}


def start_worker() -> None:
    """One thread for each process."""
    torch.set_num_threads(1)


def prepare(work: Path, workers: int) -> None:
    """Tunes the concepts and fuses them, unless that is done."""
    for name in CHARACTERS:
        person(name, work / "people")
    missing = [name for name in CHARACTERS if not concept_path(name, work).is_file()]
    tasks = [({"tune": name}, tune_character, (name, work)) for name in missing]
    work_off(Ledger(work / "tuned.jsonl"), tasks, workers, start_worker)
    files = [concept_path(name, work) for name in CHARACTERS]
    start_worker()
    for release, method in METHODS.items():
        if not (work / release).exists():
            fuse_to_folder("toyworld", files, work / release, method=method)


@cache
def release(work: Path, name: str) -> Model:
    """A release, opened once in a process."""
    return load(work / name)


def draw_layouts(work: Path, way: str, count: int, variant: str, amount: Amount) -> dict[str, Any]:
    """What is in the boxes of all layouts of one kind, drawn in one way."""
    name, options = WAYS[way]
    model, known = release(work, name), reading.references(work)
    return {
        "pictures": [
            reading.read_boxes(draw(model, layout, **options, steps=amount.steps), layout, known)
            for layout in layouts(count, variant, amount.layouts)
        ]
    }


def draw(
    model: Model, layout: Layout, /, plain: bool = False, sketched: bool = False, **options: Any
) -> Image:
    """The picture of a layout, with regions unless `plain`."""
    width, height = layout.size
    lines = Condition(kind="control", name="sketch", picture=layout.sketch())
    recipe = Recipe(
        prompt=layout.prompt if plain else layout.background,
        regions=() if plain else layout.regions(),
        negative="" if plain else layout.together,
        conditions=[lines] if sketched else [],
        seed=SEED + layout.number,
        width=width,
        height=height,
        **options,
    )
    return model.draw(recipe).images[0]


def draw_singles(work: Path, way: str, amount: Amount) -> dict[str, Any]:
    """Every concept by itself, at the base's own size: what can be expected of a box, and what is misread."""
    model, known = release(work, WAYS[way][0]), reading.references(work)
    found = {}
    for name in CHARACTERS:
        prompts = [f"a <{name}> {place}" for place in PLACES]
        images = model(prompts, n=amount.singles, seed=SEED, steps=amount.steps).images
        found[name] = [reading.read([image], [name], known) for image in images]
    return {"singles": found}


def pictures(work: Path, workers: int, number: int = LAYOUTS) -> dict[str, Any]:
    """All figures of presence, identity, binding and leakage."""
    prepare(work, workers)
    read, drawn = read_layouts(work, workers, wanted(WAYS), Amount(number))
    alone = {name: reading.summary(found, {}) for name, found in drawn.items()}
    single = fmean(found["identity"] for found in alone.values())
    table = {}
    for (way, count, variant), found in read.items():
        alike = [read[way, other, variant] for other in COUNTS]
        row = reading.summary(found, reading.unprovoked(chain.from_iterable(alike)))
        table[f"{way} {count} {variant}"] = row | {"kept": row["identity"] / single}
    return figures(table) | {"singles": alone, "ways": table}


def wanted(ways: Iterable[str], everywhere: Collection[str] = EVERYWHERE) -> list[Kind]:
    """Ways with all numbers of concepts and boxes that lie apart; some with the other boxes, too."""
    return [
        (way, count, variant)
        for way in ways
        for count in COUNTS
        for variant in (VARIANTS if way in everywhere else VARIANTS[:1])
    ]


def read_layouts(
    work: Path, workers: int, kinds: Sequence[Kind], amount: Amount
) -> tuple[dict[Kind, list[reading.Picture]], dict[str, list[reading.Picture]]]:
    """What is in the boxes of all layouts of these kinds, and in pictures of each concept by itself."""
    ledger = Ledger(work / "pictures.jsonl")
    asked = {"number": amount.layouts, **amount.changes}
    keys = {
        (way, count, variant): {"way": way, "count": count, "variant": variant, **asked}
        for way, count, variant in kinds
    }
    tasks: list[tuple[dict[str, Any], Callable[..., dict[str, Any]], tuple[Any, ...]]] = [
        (key, draw_layouts, (work, *which, amount)) for which, key in keys.items()
    ]
    drawn = {"drawn": amount.changes} if amount.changes else {}
    singles: dict[str, Any] = {"singles": "regions", **drawn}
    alone = singles, draw_singles, (work, "regions", amount)
    work_off(ledger, [*tasks, alone], workers, start_worker)
    read = {which: (ledger.get(key) or {})["pictures"] for which, key in keys.items()}
    return read, (ledger.get(singles) or {})["singles"]


def figures(table: Mapping[str, Mapping[str, float]], way: str = "windows") -> dict[str, float]:
    """What the bars are about: boxes that lie apart, drawn as well as we can."""
    rows = {count: table[f"{way} {count} apart"] for count in COUNTS}
    return {
        **{f"present_{count}": row["present"] for count, row in rows.items()},
        "identity_in_box_kept": min(row["kept"] for row in rows.values()),
        "attributes": min(row["attributes"] for row in rows.values()),
        "leaked": max(row["leaked"] for row in rows.values()),
    }
