"""How many prompts, seeds and steps are enough to record."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.fusing.drawing import concept_of, draw_fused
from benchmarks.fusing.judging import fused_by, generic_moments, judged, keep, test_moments
from benchmarks.ledger import Ledger, work_off
from fedshow.families import open_base
from fedshow_server.fusion.fuse import bring_in, ledger_of
from fedshow_server.fusion.recording import Plan

POINTS = (
    (1, 1, 20),
    (2, 1, 20),
    (4, 1, 20),
    (8, 1, 20),
    (8, 2, 5),
    (8, 2, 10),
    (8, 2, 20),
    (8, 4, 20),
)
"""Prompts of the fit, seeds, steps; what the choice of the regularisation sees stays the same."""


def measure(
    characters: Sequence[str],
    work: Path,
    ledger: Ledger,
    workers: int,
    start: Callable[[], None],
) -> list[dict[str, Any]]:
    """Per point the held-out residual and the identity of the fused concepts."""
    keys = [{"curve": point, "characters": tuple(characters)} for point in POINTS]
    tasks = [
        (key, one_point, (characters, work, *point))
        for key, point in zip(keys, POINTS, strict=True)
    ]
    base = open_base("toyworld")
    for character in characters:  # here, so that no two processes record the same
        test_moments(base, concept_of(character, work), work)
    generic_moments(base, work)
    work_off(ledger, tasks, workers, start)
    return [
        {"prompts": point[0], "seeds": point[1], "steps": point[2], **(ledger.get(key) or {})}
        for key, point in zip(keys, POINTS, strict=True)
    ]


def one_point(
    characters: Sequence[str], work: Path, texts: int, seeds: int, steps: int
) -> dict[str, Any]:
    """Records, fuses and draws with one plan."""
    base, plan = open_base("toyworld"), Plan(tuple(range(seeds)), steps=steps, fit_prompts=texts)
    concepts = [concept_of(character, work) for character in characters]
    with tempfile.TemporaryDirectory() as folder:
        with ledger_of(base, plan, Path(folder) / "ledger") as ledger:
            bring_in(ledger, base, concepts, plan, lambda _: None)
            tensors = fused_by("gradient", ledger.layers(dict.fromkeys(characters, 1.0)), base)
        fused = Path(folder) / "fused.safetensors"
        keep(tensors, fused)
        drawn = draw_fused(characters, fused, work, drift=True)
    found = judged(base, characters, tensors, work)
    concepts_drawn = drawn["concepts"].values()
    return {
        "heldout": fmean(found["heldout"].values()),
        "identity": fmean(one["identity"] for one in concepts_drawn),
        "to_single": fmean(one["to_single"] for one in concepts_drawn),
        "drift": drawn["drift"],
    }
