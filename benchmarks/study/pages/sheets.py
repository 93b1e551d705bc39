"""Example pictures: what was asked for, beside what came; rows of grids."""

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from benchmarks.study.bench import Bench
from benchmarks.study.drawing import Members, chosen, fused_model, pictures, single_model
from benchmarks.study.material import Prompt
from benchmarks.study.questions import fusion
from benchmarks.study.questions.experiments import RULE
from benchmarks.study.ways import LORA, OURS, PARTS
from fedshow.sampling.grid import Row
from fedshow_client.tuning.data.folder import scan

COLUMNS = 8
SHOWN = {"characters": 3, "objects": 2, "scenes": 3}
Rows = list[Row]
"""A label each, and pictures."""


def private(bench: Bench, name: str, count: int) -> list[Image.Image]:
    """The first private pictures."""
    found = scan(bench.material.images(name)).accepted
    return [candidate.load() for candidate in found[:count]]


def examples(bench: Bench) -> dict[str, str]:
    """One concept of each group, with the group's name, from the subset."""
    found: dict[str, str] = {}
    for name in bench.extent.subset:
        found.setdefault(bench.material.concepts[name].group, name)
    return found


def methods(bench: Bench) -> Rows:
    """Every method on one concept of each group, and ED-LoRA's and LoRA's embeddings alone."""
    shown = examples(bench)
    rows: Rows = [("private pictures", _each(shown, lambda n, k: private(bench, n, k)))]
    for way in bench.methods:
        rows.append((way, _each(shown, lambda n, k, w=way: singles(bench, w, n, k))))
    for way in (OURS, LORA):
        drawn = _each(shown, lambda n, k, w=way: singles(bench, w, n, k, 0.0))
        rows.append((f"{way},\nembedding alone", drawn))
    return rows


def parts(bench: Bench) -> Rows:
    """ED-LoRA without each of its parts."""
    shown, ways = examples(bench), (OURS, *PARTS)
    return [(w, _each(shown, lambda n, k, w=w: singles(bench, w, n, k))) for w in ways]


def _each(shown: dict[str, str], draw: Callable[..., list[Image.Image]]) -> list[Image.Image]:
    return [image for group, name in shown.items() for image in draw(name, SHOWN[group])]


def few(bench: Bench, name: str, count: int) -> list[Prompt]:
    """Prompts of different types."""
    every = chosen(bench, name)
    return [every[k * len(every) // count] for k in range(count)]


def singles(bench: Bench, way: str, name: str, count: int, scale: float = 1.0) -> list[Image.Image]:
    """One picture each of a few prompts, of a concept by itself."""
    with single_model(bench, way, name) as model:
        return pictures(bench, model, few(bench, name, count), scale, each=1)


def largest(bench: Bench) -> Members:
    """The set of most concepts."""
    return max((members for found in bench.extent.sets.values() for members in found), key=len)


def fused_examples(bench: Bench) -> tuple[str, ...]:
    """Some of them, half of these of one class where the set's are."""
    members = largest(bench)
    return members[:: max(1, len(members) // COLUMNS)][:COLUMNS]


def fusions(bench: Bench) -> Rows:
    """The first concepts of the largest set: by themselves and out of fusions."""
    members, shown = largest(bench), fused_examples(bench)
    rows: Rows = [("private pictures", [private(bench, name, 1)[0] for name in shown])]
    rows += [
        (f"{way}, single", [singles(bench, way, n, 1)[0] for n in shown]) for way in (OURS, LORA)
    ]
    for way, rule in ((OURS, "gradient"), (OURS, "average"), (LORA, "average")):
        with fused_model(bench, way, rule, members) as model:
            drawn = [pictures(bench, model, few(bench, n, 1), each=1)[0] for n in shown]
        rows.append((f"{way},\n{rule} of {len(members)}", drawn))
    return rows


def worst(bench: Bench, raw: Sequence[Any]) -> Rows:
    """The concepts that lost most: a private picture, then pairs of before and after."""
    members = largest(bench)
    rows: Rows = []
    for one in fusion.worst(raw, count=2):
        name = one["concept"]
        before = singles(bench, OURS, name, 3)
        with fused_model(bench, OURS, RULE, members) as model:
            after = pictures(bench, model, few(bench, name, 3), each=1)
        pairs = [image for both in zip(before, after, strict=True) for image in both]
        label = f"{name}: private, then alone\nand out of {len(members)} fused"
        rows.append((label, [*private(bench, name, 1), *pairs]))
    return rows
