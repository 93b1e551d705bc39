"""Q4: what each part of ED-LoRA is worth: layer-wise tokens, the second word, regularised attention."""

from collections.abc import Mapping
from typing import Any

from benchmarks.study import tables
from benchmarks.study.bench import Bench
from benchmarks.study.drawing import fused_task, single_task
from benchmarks.study.fusing import fuse_ways
from benchmarks.study.material import Read
from benchmarks.study.tuning import tune_all
from benchmarks.study.ways import OURS, PARTS

RULES = ("gradient", "average")
Found = Mapping[str, Mapping[str, Read]]
"""By way and concept."""


def measure(bench: Bench) -> dict[str, Any]:
    """Identity by itself, of the embedding alone, and fused: ED-LoRA whole and without each part."""
    ways = (OURS, *PARTS)
    tune_all(bench, [(way, name) for way in ways for name in bench.extent.subset])
    fuse_ways(bench, [(way, bench.extent.part_sets, RULES) for way in ways])
    whole, alone = (_singles(bench, ways, scale) for scale in (1.0, 0.0))
    fused = {rule: _fused(bench, ways, rule) for rule in RULES}
    return {"parts": {way: _row(bench, way, whole, alone, fused) for way in ways}}


def _singles(bench: Bench, ways: tuple[str, ...], scale: float) -> dict[str, dict[str, Read]]:
    pairs = [(way, name) for way in ways for name in bench.extent.subset]
    found = bench.do([single_task(bench, way, name, scale) for way, name in pairs])
    return _nested(dict(zip(pairs, found, strict=True)))


def _fused(bench: Bench, ways: tuple[str, ...], rule: str) -> dict[str, dict[str, Read]]:
    keys = [(way, rule, members) for way in ways for members in bench.extent.part_sets]
    found = bench.do([fused_task(bench, *key, drift=False) for key in keys])
    return _nested(
        {
            (way, name): read
            for (way, _, _), one in zip(keys, found, strict=True)
            for name, read in one["concepts"].items()
        }
    )


def _nested(found: Mapping[tuple[str, str], Read]) -> dict[str, dict[str, Read]]:
    ways = dict.fromkeys(way for way, _ in found)
    return {way: {n: read for (w, n), read in found.items() if w == way} for way in ways}


def _row(
    bench: Bench, way: str, whole: Found, alone: Found, fused: Mapping[str, Found]
) -> dict[str, Any]:
    names = list(whole[OURS])
    own, ours = (_identity(whole[w], names) for w in (way, OURS))
    own_alone, ours_alone = (_identity(alone[w], names) for w in (way, OURS))
    after = {rule: _identity(found[way], names) for rule, found in fused.items()}
    return {
        **tables.summary(whole[way]),
        "embedding_alone": tables.mean(own_alone),
        "loses": tables.difference(ours, own),
        "loses_embedding_alone": tables.difference(ours_alone, own_alone),
        "kept": {rule: tables.kept(scores, own) for rule, scores in after.items()},
        "fused": {rule: tables.mean(scores) for rule, scores in after.items()},
        "loses_fused": {
            rule: tables.difference(_identity(fused[rule][OURS], names), scores)
            for rule, scores in after.items()
        },
        "groups": tables.by_group(whole[way], bench.material.concepts),
    }


def _identity(found: Mapping[str, Read], names: list[str]) -> tables.Scores:
    return tables.identity(found[name] for name in names)
