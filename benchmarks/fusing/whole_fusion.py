"""A whole fusion from concept files to the update: recording, then our solver or the paper's.

The paper's solver works on the inputs themselves. All inputs of one base do not fit into memory here, so
it is timed layer shape by layer shape on as many random inputs as were recorded, a few iterations of it
(what an iteration costs does not depend on the values), and added up.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.fusing.drawing import concept_of
from benchmarks.fusing.solver import lbfgs_on_inputs
from fedshow.concepts import ConceptFile
from fedshow.families import Base, open_base
from fedshow.sampling.model import Model
from fedshow_server.fusion.fuse import bring_in, ledger_of
from fedshow_server.fusion.recording import Plan, record
from fedshow_server.fusion.rules import FUSIONS
from fedshow_server.fusion.rules.lbfgs import OTHER_ITERATIONS, TEXT_ITERATIONS, reads_text
from fedshow_server.fusion.update import smallest

SAMPLE = 5
"""Iterations of L-BFGS that are timed."""


def measure(characters: Sequence[str], work: Path) -> dict[str, Any]:
    """Seconds of both, with their parts."""
    base, plan = open_base("toyworld"), Plan()
    concepts = [concept_of(character, work) for character in characters]
    seconds = _ours(base, concepts, plan)
    on_inputs = _lbfgs_seconds(base, concepts, plan)
    ours = seconds["recording"] + seconds["gradient"]
    return {
        "whole_seconds": ours,
        "whole_speedup": (seconds["recording"] + on_inputs) / ours,
        "whole": {**seconds, "lbfgs_on_inputs_extrapolated": on_inputs},
    }


def _ours(base: Base, concepts: Sequence[ConceptFile], plan: Plan) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, ledger_of(base, plan, Path(folder)) as ledger:
        started = time.perf_counter()
        bring_in(ledger, base, concepts, plan, lambda _: None)
        next(ledger.layers())  # makes the sums
        found = {"recording": time.perf_counter() - started}
        for rule in ("gradient", "lbfgs"):  # this one from moments, which flatters it
            started = time.perf_counter()
            for layer in ledger.layers():
                smallest(FUSIONS[rule](layer).delta_OI, layer.parts(moments=False))
            found[rule] = time.perf_counter() - started
    return found


def _lbfgs_seconds(base: Base, concepts: Sequence[ConceptFile], plan: Plan) -> float:
    """Over all layers, on random inputs."""
    counts = input_counts(base, concepts[0], plan)
    shapes: Counter[tuple[int, int, int, int]] = Counter()
    with torch.random.fork_rng():
        for layer, (width_in, width_out) in base.card.layers.items():
            name = base.family.input_of(layer)
            iterations = TEXT_ITERATIONS if reads_text(name) else OTHER_ITERATIONS
            shapes[width_in, width_out, counts[name], iterations] += 1
        return sum(number * _one(*shape, len(concepts)) for shape, number in sorted(shapes.items()))


def _one(width_in: int, width_out: int, count: int, iterations: int, concepts: int) -> float:
    inputs = [torch.randn(count, width_in) for _ in range(concepts)]
    adapters = [torch.randn(width_out, width_in) * 0.01 for _ in range(concepts)]
    started = time.perf_counter()
    lbfgs_on_inputs(inputs, adapters, SAMPLE)
    return (time.perf_counter() - started) * iterations / SAMPLE


def input_counts(base: Base, concept: ConceptFile, plan: Plan) -> dict[str, int]:
    """How many inputs each layer reads for the fit of one concept."""
    model = Model(base)
    try:
        model.add_concept(concept)
        drawn = plan.fit.naming(concept.header.name)
        steps = 2
        few = record(model, replace(drawn, seeds=drawn.seeds[:1]), Plan(steps=steps)).counts
    finally:
        model.restore()
    times = len(plan.fit_seeds) * plan.steps // steps
    return {name: count * (times if name.startswith("unet.") else 1) for name, count in few.items()}
