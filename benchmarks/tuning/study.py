"""The quality study: every method on held-out characters, over several seeds; resumable.

Everything that was measured lies in the ledger of the work folder; figures are made from it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.ledger import Ledger, work_off
from benchmarks.private_folder import person
from benchmarks.tuning.runs import Run, bounds, perform, start_worker, task
from fedshow.edlora.methods import METHODS

CHARACTERS = ("figaro", "rusty", "luna", "clover", "ember", "frost")
"""All five kinds; the demo's and the search's are others."""

SEARCHED = ("tiger", "volt")
"""The learning rates were chosen on these."""

FACTORS = (0.5, 1.0, 2.0)
SEEDS = range(3)
SPREAD_SEEDS = range(5)
SPREAD_CHARACTERS = CHARACTERS[:2]
POINTS = (50, 100, 150, 200, 300)
LEDGER = "runs.jsonl"


def study_runs() -> list[Run]:
    """Methods x characters x seeds; ED-LoRA has more seeds on two of them, and its course is watched."""
    runs = []
    for seed in SPREAD_SEEDS:
        for character in CHARACTERS:
            for method in METHODS:
                spread = method == "ed-lora" and character in SPREAD_CHARACTERS
                if seed in SEEDS or spread:
                    points = POINTS if spread else ()
                    runs.append(Run(character, method, seed, 1.0, points, _scales(method)))
    return runs


def _scales(method: str) -> tuple[float, ...]:
    """Without adapters there is nothing to leave out."""
    return (1.0,) if METHODS[method].adapts == "nothing" else (1.0, 0.0)


def search_runs() -> list[Run]:
    """A small search over the learning rates of every method, on characters of its own."""
    return [
        Run(character, method, factor=factor, scales=(1.0,))
        for factor in FACTORS
        for character in SEARCHED
        for method in METHODS
    ]


def do(runs: Iterable[Run], work: Path, workers: int) -> list[tuple[Run, dict[str, Any]]]:
    """Every run with its result; those that the work folder has are not repeated."""
    ledger, folder = Ledger(work / LEDGER), work / "people"
    tasks = [task(run) for run in runs]
    for one in tasks:
        person(one.run.character, folder)  # drawn here, so that no two processes draw the same
    work_off(ledger, [(one.key, perform, (one, folder)) for one in tasks], workers, start_worker)
    return [(one.run, ledger.get(one.key) or {}) for one in tasks]


def do_bounds(work: Path, workers: int) -> dict[str, dict[str, Any]]:
    """For each character what no tuning and the private pictures themselves score."""
    ledger, folder = Ledger(work / LEDGER), work / "people"
    keys = {character: {"bounds": character} for character in CHARACTERS}
    for character in CHARACTERS:
        person(character, folder)
    tasks = [(key, bounds, (character, folder)) for character, key in keys.items()]
    work_off(ledger, tasks, workers, start_worker)
    return {character: ledger.get(key) or {} for character, key in keys.items()}
