"""Why larger sets keep less: what is kept by type of prompt, and experiments with sets of one size."""

from collections.abc import Mapping
from typing import Any

from benchmarks.study import tables
from benchmarks.study.bench import Bench
from benchmarks.study.drawing import Members, chosen
from benchmarks.study.questions import experiments
from benchmarks.study.questions.experiments import Found
from benchmarks.study.tables import Value

MOST = 8
"""Concepts in the sets that the experiments fuse."""


def measure(bench: Bench, single: Found, fused: Mapping[Members, Found]) -> dict[str, Any]:
    """What is kept by type of prompt: of every size as shipped, of one size in every experiment.

    `single` has every concept by itself, `fused` every set out of its fusion by our rule.
    """
    size = max(n for n in bench.extent.sets if n <= MOST)
    sets = bench.extent.sets[size]
    cut_single, cut_fused = experiments.cut(bench, sets)
    return {
        "size": size,
        "shipped": {
            n: by_type(bench, single, {members: fused[members] for members in found})
            for n, found in bench.extent.sets.items()
        },
        "fewer": by_type(bench, single, experiments.fewer(bench, sets)),
        "wider": by_type(bench, single, experiments.wider(bench, sets)),
        "cut": by_type(bench, cut_single, cut_fused),
        "own": {
            kind: by_type(bench, single, found)
            for kind, found in experiments.own(bench, sets).items()
        },
    }


def by_type(bench: Bench, single: Found, fused: Mapping[Members, Found]) -> dict[str, Value]:
    """What is kept of identity with all prompts, and with those of each type."""
    pairs = [(single[name], after) for found in fused.values() for name, after in found.items()]
    before, after = (tables.identity(pair[k] for pair in pairs) for k in (0, 1))
    types = [prompt.type for prompt in chosen(bench, next(iter(single)))]
    found = {"all": tables.kept(after, before)}
    for kind in bench.material.types:
        if columns := [k for k, other in enumerate(types) if other == kind]:
            found[kind] = tables.kept(after[:, columns], before[:, columns])
    return found
