"""Q5: where it breaks: cases found by measurement, each with what was asked, what came, and a number."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from PIL import Image

from benchmarks.embedded import encoder
from benchmarks.fusing.judging import fused_path
from benchmarks.study.bench import Bench, Task
from benchmarks.study.drawing import Members, fused_model
from benchmarks.study.fusing import fuse_sets
from benchmarks.study.toyworld import reading
from benchmarks.study.toyworld.concepts import CONCEPTS, ROBOTS
from benchmarks.study.tuning import folder_of, tune_all
from benchmarks.study.ways import OURS
from fedshow.demo.measuring import crop, side_by_side
from fedshow.files import digest
from fedshow.sampling.model import Model
from fedshow.sampling.recipe import Recipe
from fedshow.sampling.regions import Box, Region
from fedshow.scoring.prompts import PLACES

RULE = "gradient"
WIDTH, HEIGHT = 72, 40
"""Pixels of pictures with boxes: as those of two concepts in the sampling benchmark."""

SIDES = (10, 14, 18, 24, 30, 34)
OVERLAPS = (0, 8, 16, 24)
BOX = 34
FAR = (
    "a <{0}> riding a bicycle through the city",
    "an oil painting of a <{0}> by a famous painter",
    "a <{0}> made of glass on a wooden table",
    "a <{0}> asleep in bed under a blanket",
    "a crowd of people around a <{0}> at a concert",
)
"""Of words that the base has never read."""


@dataclass(frozen=True)
class Cast:
    """Who appears: a fused set, two of one class in it, and one of another."""

    members: Members
    twin: tuple[str, str]
    stranger: str | None


def cast_of(bench: Bench) -> Cast:
    """From the largest set of up to four that has two robots."""
    size = max(n for n in bench.extent.sets if n <= 4)
    members = bench.extent.sets[size][0]
    robots = [name for name in members if name in ROBOTS]
    others = [n for n in members if n not in ROBOTS and CONCEPTS[n].group == "characters"]
    return Cast(members, (robots[0], robots[1]), others[0] if others else None)


def measure(bench: Bench) -> dict[str, Any]:
    """Every case by name."""
    cast = cast_of(bench)
    tune_all(bench, [(OURS, name) for name in cast.members])
    fuse_sets(bench, OURS, [cast.members], [RULE])
    pairs = {"one class": cast.twin}
    if cast.stranger:
        pairs["two classes"] = (cast.twin[0], cast.stranger)
    tasks = {
        **{f"pair {kind}": _task(bench, draw_pair, pair) for kind, pair in pairs.items()},
        "small boxes": _task(bench, draw_small, cast.twin[0]),
        "overlap": _task(bench, draw_overlap, pairs[tuple(pairs)[-1]]),
        "far prompts": _task(bench, draw_far, cast.members),
    }
    found = dict(zip(tasks, bench.do(list(tasks.values())), strict=True))
    return {"cases": found, "cast": {"members": cast.members, "pairs": pairs}}


def _task(bench: Bench, draw: Callable[..., dict[str, Any]], who: Any) -> Task:
    members = cast_of(bench).members
    update = digest(fused_path(RULE, members, folder_of(OURS, bench.work)))[:16]
    key = {"failure": draw.__name__, "who": who, "members": members, "update": update}
    key |= {"steps": bench.extent.drawing_steps, "layouts": bench.extent.layouts}
    return key | {"device": bench.device}, draw, (bench, who)


def draw_pair(bench: Bench, pair: tuple[str, str]) -> dict[str, Any]:
    """Two concepts beside each other, from one prompt and by regions: who is in whose half."""
    with fused_model(bench, OURS, RULE, cast_of(bench).members) as model:
        return {
            way: halves(bench, pair, pair_pictures(bench, model, pair, way == "regions"))
            for way in ("one prompt", "regions")
        }


def pair_pictures(
    bench: Bench, model: Model, pair: tuple[str, str], by_regions: bool, number: int | None = None
) -> list[Image.Image]:
    """Of every place and some seeds, the base's own size."""
    images = []
    for k in range(number or bench.extent.layouts):
        prompt, regions = side_by_side(*pair, PLACES[k % len(PLACES)])
        steps, chosen = bench.extent.drawing_steps, regions if by_regions else ()
        images += model(prompt, regions=chosen, seed=100 + k, steps=steps).images
    return images


def halves(bench: Bench, pair: tuple[str, str], images: Sequence[Image.Image]) -> dict[str, float]:
    """Shares of pictures: everybody in their half, exchanged, or the same one twice."""
    _, regions = side_by_side(*pair, PLACES[0])
    known = [reading.known(name, bench.work) for name in pair]
    nearest, own = [], []
    for image in images:
        features = encoder().identity([crop(image, region) for region in regions])
        scores = [one.similarity(features).tolist() for one in known]
        nearest.append(tuple(int(scores[1][k] > scores[0][k]) for k in range(2)))
        own.append((scores[0][0] + scores[1][1]) / 2)
    count = len(nearest)
    return {
        "right": sum(n == (0, 1) for n in nearest) / count,
        "exchanged": sum(n == (1, 0) for n in nearest) / count,
        "one twice": sum(n[0] == n[1] for n in nearest) / count,
        "identity": fmean(own),
    }


def draw_small(bench: Bench, name: str) -> dict[str, Any]:
    """Identity in boxes of several sizes."""
    with fused_model(bench, OURS, RULE, cast_of(bench).members) as model:
        return {
            str(side): fmean(
                _identity(bench, name, image, box)
                for image, box in boxed(bench, model, [name], [centred(WIDTH / 2, side)])
            )
            for side in SIDES
        }


def draw_overlap(bench: Bench, pair: tuple[str, str]) -> dict[str, Any]:
    """Identity in two boxes that share more and more of the picture."""
    with fused_model(bench, OURS, RULE, cast_of(bench).members) as model:
        return {
            str(shared): fmean(
                _identity(bench, name, image, box)
                for name, (image, box) in _each(bench, model, pair, shared)
            )
            for shared in OVERLAPS
        }


def _each(bench: Bench, model: Model, pair: tuple[str, str], shared: int) -> list[Any]:
    boxes = overlapping(shared)
    drawn = boxed(bench, model, pair, boxes)
    return list(zip(list(pair) * (len(drawn) // len(pair)), drawn, strict=True))


def overlapping(shared: int) -> list[Box]:
    """Two boxes that have so many columns of pixels in common."""
    apart = (BOX - shared) / 2
    return [centred(WIDTH / 2 + side * apart, BOX) for side in (-1, 1)]


def centred(x: float, side: float) -> Box:
    """A square around a point where figures stand, as shares of the picture."""
    top = min(max(0.56 * HEIGHT - side / 2, 0), HEIGHT - side)
    left = min(max(x - side / 2, 0), WIDTH - side)
    return left / WIDTH, top / HEIGHT, (left + side) / WIDTH, (top + side) / HEIGHT


def boxed(
    bench: Bench,
    model: Model,
    names: Sequence[str],
    boxes: Sequence[Box],
    number: int | None = None,
) -> list[tuple[Image.Image, Box]]:
    """Pictures with each of these in its box; every picture once for each box."""
    found = []
    for k in range(number or max(1, bench.extent.layouts // 2)):
        place = PLACES[k % len(PLACES)]
        regions = [
            Region(box=box, prompt=f"a <{name}> {place}", negative="")
            for name, box in zip(names, boxes, strict=True)
        ]
        recipe = Recipe(
            prompt=f"an empty scene {place}",
            regions=regions,
            windows=1.0,
            seed=200 + k,
            width=WIDTH,
            height=HEIGHT,
            steps=bench.extent.drawing_steps,
        )
        image = model.draw(recipe).images[0]
        found += [(image, box) for box in boxes]
    return found


def _identity(bench: Bench, name: str, image: Image.Image, box: Box) -> float:
    left, top, right, bottom = box
    edges = left * WIDTH, top * HEIGHT, right * WIDTH, bottom * HEIGHT
    part = image.crop(tuple(round(edge) for edge in edges))  # type: ignore[arg-type]
    features = reading.judge_of(name, bench.work).identity([part])
    return float(reading.known(name, bench.work).similarity(features))


def draw_far(bench: Bench, members: Members) -> dict[str, Any]:
    """Identity with prompts of words that the base does not know, against its own words."""
    near = [f"a <{{0}}> {place}" for place in PLACES[: len(FAR)]]
    found: dict[str, list[float]] = {"far": [], "near": []}
    with fused_model(bench, OURS, RULE, members) as model:
        for name in [n for n in members if CONCEPTS[n].group != "scenes"]:
            for kind, texts in (("far", FAR), ("near", near)):
                images = model(
                    [text.format(name) for text in texts],
                    seed=300,
                    steps=bench.extent.drawing_steps,
                ).images
                features = reading.judge_of(name, bench.work).identity(images)
                found[kind] += reading.known(name, bench.work).similarity(features).tolist()
    return {kind: fmean(values) for kind, values in found.items()}
