"""Q1: ED-LoRA against the other methods: identity, text alignment, and identity from the embedding alone."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from benchmarks.study import tables
from benchmarks.study.bench import Bench
from benchmarks.study.drawing import bare_task, single_task
from benchmarks.study.material import Read
from benchmarks.study.tuning import tune_all
from benchmarks.study.ways import LORA, OURS, WAYS, left_out
from fedshow.scoring.alignment import alignment_among

ALONE = 0.0
"""Strength of the adapters at which the embedding alone is left."""

Drawn = dict[tuple[str, str, float], dict[str, Any]]
"""By way, concept and strength."""


def tune(bench: Bench) -> dict[str, Any]:
    """ED-LoRA and LoRA for every concept, the others for the subset."""
    pairs = [(way, name) for way in (OURS, LORA) for name in bench.extent.names]
    others = [way for way in bench.methods if way not in (OURS, LORA)]
    pairs += [(way, name) for way in others for name in bench.extent.subset]
    found = tune_all(bench, pairs)
    return {
        way: {
            name: fmean(one[name] for (w, _), one in found.items() if w == way)
            for name in ("seconds", "processor_seconds")
        }
        | {
            "parameters": next(o["parameters"] for (w, _), o in found.items() if w == way),
        }
        for way in bench.methods
    }


def draw(bench: Bench) -> Drawn:
    """Every concept of every method by itself, whole and with the embedding alone."""
    keys = [
        (way, name, scale)
        for way in bench.methods
        for name in (bench.extent.names if way in (OURS, LORA) else bench.extent.subset)
        for scale in _scales(way)
    ]
    found = bench.do([single_task(bench, *key) for key in keys])
    return dict(zip(keys, found, strict=True))


def _scales(way: str) -> tuple[float, ...]:
    """Without adapters there is nothing to leave out."""
    return (1.0,) if WAYS[way].method.adapts == "nothing" else (1.0, ALONE)


def measure(bench: Bench) -> dict[str, Any]:
    """The table of methods on the subset, ED-LoRA and LoRA on all concepts, and the bounds."""
    tuned, drawn, subset = tune(bench), draw(bench), bench.extent.subset
    bare = bench.do([bare_task(bench, name) for name in subset])
    bounds = {
        "class_word": tables.summary(dict(zip(subset, bare, strict=True))),
        "private_pictures": fmean(_among_themselves(bench, name) for name in subset),
    }
    return {
        "methods": {way: _row(bench, drawn, way, subset) | tuned[way] for way in bench.methods},
        "left_out": left_out(bench.base),
        "all": {way: _row(bench, drawn, way, bench.extent.names) for way in (OURS, LORA)},
        "bounds": bounds,
        "raw": raw(drawn),
    }


def _among_themselves(bench: Bench, name: str) -> float:
    """How alike the private pictures are, the most to be hoped for; a single one is as alike as can be."""
    found = alignment_among(bench.material.known(name))
    return 1.0 if found is None else found


def _row(bench: Bench, drawn: Drawn, way: str, names: Sequence[str]) -> dict[str, Any]:
    whole, alone = of(drawn, way, names), of(drawn, way, names, ALONE)
    ours, ours_alone = (of(drawn, OURS, names, scale) for scale in (1.0, ALONE))
    return {
        **tables.summary(whole),
        "embedding_alone": tables.mean(tables.identity(alone.values())),
        "ours_better_by": _better_by(ours, whole),
        "ours_alone_better_by": _better_by(ours_alone, alone),
        "groups": tables.by_group(whole, bench.material.concepts),
    }


def _better_by(first: Mapping[str, Read], second: Mapping[str, Read]) -> tables.Value:
    return tables.difference(*(tables.identity(found.values()) for found in (first, second)))


def of(drawn: Drawn, way: str, names: Sequence[str], scale: float = 1.0) -> Mapping[str, Read]:
    """One method's readings; those without adapters draw the same at every strength."""
    return {n: drawn.get((way, n, scale)) or drawn[way, n, 1.0] for n in names}


def raw(drawn: Drawn) -> list[dict[str, Any]]:
    """Identity and text of every concept, averaged over prompts."""
    return [
        {
            "way": way,
            "concept": name,
            "scale": scale,
            "identity": float(tables.identity([one]).mean()),
            "text": float(tables.text([one]).mean()),
        }
        for (way, name, scale), one in drawn.items()
    ]
