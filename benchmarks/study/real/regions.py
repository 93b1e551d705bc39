"""Q3 on somebody's pictures: two to four concepts side by side, by regions and by the prompt alone."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from benchmarks.fusing.judging import fused_path
from benchmarks.study import tables
from benchmarks.study.bench import Bench, Task
from benchmarks.study.drawing import Members, facts, fused_model, single_task
from benchmarks.study.fusing import fuse_sets
from benchmarks.study.questions.experiments import RULE
from benchmarks.study.real.material import Pictures
from benchmarks.study.real.prompts import PLACES
from benchmarks.study.tuning import folder_of, tune_all
from benchmarks.study.ways import OURS
from fedshow.files import digest
from fedshow.sampling.model import Model
from fedshow.sampling.recipe import Recipe
from fedshow.sampling.regions import Box, Region
from fedshow.scoring.alignment import region_alignment

COUNTS = (2, 3, 4)
MOST = 8
"""Concepts in the model that draws."""

SEED = 9000
WAYS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "plain": ("one prompt", {"plain": True}),
    "regions": ("regions, as in the paper", {}),
    "windows": ("regions with windows", {"windows": 1.0}),
}
"""What the page calls them, and how they draw."""

COLUMN, MARGIN, TOP, BOTTOM = 0.75, 0.06, 0.12, 0.96
"""Width of each concept's column over the base's edge; its box within the column, as shares."""


@dataclass(frozen=True)
class Layout:
    """One picture to be drawn: who stands where, from left to right."""

    number: int
    concepts: Members
    place: str

    @property
    def prompt(self) -> str:
        """Everything in one sentence."""
        return f"a photo of {' and '.join(f'a <{name}>' for name in self.concepts)} {self.place}"

    @property
    def boxes(self) -> list[Box]:
        """One for each concept."""
        width = 1 / len(self.concepts)
        return [
            ((k + MARGIN) * width, TOP, (k + 1 - MARGIN) * width, BOTTOM)
            for k in range(len(self.concepts))
        ]

    def regions(self) -> list[Region]:
        """The same with what to draw there."""
        return [
            Region(box=box, prompt=f"a photo of a <{name}> {self.place}")
            for name, box in zip(self.concepts, self.boxes, strict=True)
        ]

    def crops(self, image: Image.Image) -> list[Image.Image]:
        """What is in the boxes of a picture."""
        scale = image.size * 2
        return [
            image.crop(tuple(round(e * s) for e, s in zip(box, scale, strict=True)))  # type: ignore[arg-type]
            for box in self.boxes
        ]


def layouts(members: Members, count: int, number: int) -> list[Layout]:
    """So many of `count` concepts, the same every time."""
    rng = random.Random(f"{count} of {members}")
    return [Layout(k, tuple(rng.sample(members, count)), rng.choice(PLACES)) for k in range(number)]


def cast_of(bench: Bench) -> Members:
    """Who appears: characters and objects, those of one class first."""
    material = bench.material
    figures = [n for n in bench.extent.names if material.concepts[n].group != "scenes"]
    return tuple(sorted(figures, key=lambda name: name not in material.rivals)[:MOST])


def counts_of(bench: Bench) -> list[int]:
    """Numbers of concepts in one picture for which there are enough; none where the base has no regions."""
    if not bench.base.family.slotted_layers(bench.base.denoiser):
        return []
    return [count for count in COUNTS if count <= len(cast_of(bench))]


def measure(bench: Bench) -> dict[str, Any]:
    """Whose box is nearest to whom, and identity in boxes: by way and number of concepts."""
    members, counts = cast_of(bench), counts_of(bench)
    if not counts:
        return {"rows": {}, "layouts": 0}
    tune_all(bench, [(OURS, name) for name in members])
    fuse_sets(bench, OURS, [members], [RULE])
    single = bench.do([single_task(bench, OURS, name) for name in members])
    alone = {n: fmean(one["identity"]) for n, one in zip(members, single, strict=True)}
    keys = [(way, count) for way in WAYS for count in counts]
    read = bench.do([_task(bench, members, *key) for key in keys])
    rows = {
        f"{way} {count}": _row(one["pictures"], alone)
        for (way, count), one in zip(keys, read, strict=True)
    }
    return {"rows": rows, "layouts": bench.extent.layouts}


def _task(bench: Bench, members: Members, way: str, count: int) -> Task:
    update = digest(fused_path(RULE, members, folder_of(OURS, bench.work)))[:16]
    key = {"layouts": bench.extent.layouts, "way": way, "count": count, "update": update}
    return key | facts(bench, members), draw_layouts, (bench, members, way, count)


def draw_layouts(bench: Bench, members: Members, way: str, count: int) -> dict[str, Any]:
    """What is in the boxes of all layouts."""
    known = {name: known_to(bench).known(name) for name in members}
    with fused_model(bench, OURS, RULE, members) as model:
        return {
            "pictures": [
                read(bench, layout, draw(bench, model, layout, way), known)
                for layout in layouts(members, count, bench.extent.layouts)
            ]
        }


def draw(bench: Bench, model: Model, layout: Layout, way: str) -> Image.Image:
    """The picture of a layout."""
    base, options = bench.base, dict(WAYS[way][1])
    plain = options.pop("plain", False)
    width = round(COLUMN * len(layout.concepts) * base.sample_pixels / base.multiple)
    recipe = Recipe(
        prompt=layout.prompt if plain else f"a photo {layout.place}",
        regions=() if plain else layout.regions(),
        seed=SEED + layout.number,
        width=width * base.multiple,
        height=base.sample_pixels,
        steps=bench.extent.drawing_steps,
        **options,
    )
    return model.draw(recipe).images[0]


def read(
    bench: Bench, layout: Layout, image: Image.Image, known: Mapping[str, Tensor]
) -> list[dict[str, Any]]:
    """Of each box how like its concept it is, and whether it is nearest to that of all."""
    features = known_to(bench).judge.features(layout.crops(image))
    own, nearest = region_alignment(features, layout.concepts, known)
    return [
        {"concept": name, "identity": score, "nearest": right}
        for name, score, right in zip(layout.concepts, own.tolist(), nearest, strict=True)
    ]


def known_to(bench: Bench) -> Pictures:
    """The material with its judge."""
    assert isinstance(bench.material, Pictures)
    return bench.material


def _row(
    pictures: Sequence[Sequence[Mapping[str, Any]]], alone: Mapping[str, float]
) -> dict[str, tables.Value]:
    """Means over pictures; no picture counts twice."""
    return {
        "all_right": _mean(all(box["nearest"] for box in boxes) for boxes in pictures),
        "nearest": _mean(fmean(box["nearest"] for box in boxes) for boxes in pictures),
        "identity": _mean(fmean(box["identity"] for box in boxes) for boxes in pictures),
        "kept": _mean(
            fmean(box["identity"] / alone[box["concept"]] for box in boxes) for boxes in pictures
        ),
    }


def _mean(values: Any) -> tables.Value:
    return tables.mean(np.array(list(values), dtype=float)[:, None])
