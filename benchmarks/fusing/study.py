"""The parts of `make bench-fusion`; each returns figures, with what they were made of."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.fusing import curve as curves
from benchmarks.fusing import growth, solver, tables, whole_fusion
from benchmarks.fusing.concepts import CHARACTERS, SIZES, sets, tune_character
from benchmarks.fusing.drawing import draw_fused, draw_generic, draw_single
from benchmarks.fusing.judging import RULES, fused_path, judged, solve_set, source_of
from benchmarks.fusing.plots import plot_curve, plot_growth
from benchmarks.ledger import Ledger, work_off
from benchmarks.private_folder import person
from fedshow.families import open_base
from fedshow.files import digest
from fedshow_server.fusion.recording import Plan

Task = tuple[dict[str, Any], Callable[..., dict[str, Any]], tuple[Any, ...]]


def start_worker() -> None:
    """One thread for each process."""
    torch.set_num_threads(1)


def solve() -> dict[str, Any]:
    """Exact against L-BFGS on every layer shape of SD 1.5."""
    start_worker()
    shapes = solver.race()
    return {
        "solver_speedup_min": min(found["speedup"] for found in shapes.values()),
        "fit_ratio_max": max(found["fit_ratio"] for found in shapes.values()),
        "solver_shapes": shapes,
    }


def growing() -> dict[str, Any]:
    """A hundred additions, and a thousand by the solver alone."""
    start_worker()
    found = growth.additions()
    thousand = growth.thousand()
    plot_growth(found, thousand["seconds"])
    return {
        **growth.growth(found),
        "solver_1000_over_5": thousand["over_5"],
        "additions": found,
    }


def removal() -> dict[str, Any]:
    """Twenty random changes."""
    start_worker()
    return growth.removals()


def whole(work: Path, workers: int) -> dict[str, Any]:
    """Four tuned concepts from files to a fused update, ours and the paper's solver."""
    tune_all(work, workers)
    start_worker()
    return whole_fusion.measure(sets(4)[0], work)


def curve(work: Path, workers: int) -> dict[str, Any]:
    """How many prompts, seeds and steps are enough."""
    tune_all(work, workers)
    draw_singles(work, workers)
    start_worker()
    points = curves.measure(sets(4)[0], work, _ledger(work), workers, start_worker)
    plot_curve(points)
    return {"curve": points}


def pictures(work: Path, workers: int) -> dict[str, Any]:
    """Identity, distance to single pictures, drift: every rule at every size."""
    tune_all(work, workers)
    singles = draw_singles(work, workers)
    fuse_sets(work)
    drawn, unseen = draw_sets(work, workers), judge_sets(work)
    results = {key: drawn[key] | unseen[key] for key in drawn}
    found = tables.table(results, singles, RULES)
    print(tables.markdown(found))
    return {
        **tables.figures(found),
        **tables.forecast(results, singles),
        "identity_single": fmean(singles.values()),
        "rules": found,
        "singles": singles,
    }


def all_sets() -> list[tuple[str, ...]]:
    """Every set of every size."""
    return [members for size in SIZES for members in sets(size)]


def tune_all(work: Path, workers: int) -> None:
    """Tunes the sixteen concepts."""
    for character in CHARACTERS:
        person(character, work / "people")  # drawn here, so that no two processes draw the same
    _do(work, workers, [({"tune": c}, tune_character, (c, work)) for c in CHARACTERS])


def draw_singles(work: Path, workers: int) -> dict[str, float]:
    """Identity of each concept by itself."""
    tasks: list[Task] = [({"single": c}, draw_single, (c, work)) for c in CHARACTERS]
    found = _do(work, workers, [*tasks, ({"generic": True}, draw_generic, (work,))])
    return {c: found[k]["identity"] for k, c in enumerate(CHARACTERS)}


def fuse_sets(work: Path) -> None:
    """Every set by every rule, in this process, for a ledger belongs to one."""
    start_worker()
    base, plan, ledger = open_base("toyworld"), Plan(), _ledger(work)
    for members in all_sets():
        started = time.perf_counter()
        keys = {rule: _fused_key(rule, members, plan) for rule in RULES}
        missing = [rule for rule in RULES if ledger.get(keys[rule]) is None]
        if missing:
            solve_set(base, members, work, plan, missing)
            print(f"fused {len(members)} in {time.perf_counter() - started:.0f} s", flush=True)
        for rule in missing:
            ledger.add(keys[rule], {"sha256": digest(fused_path(rule, members, work))})


def _fused_key(rule: str, members: Sequence[str], plan: Plan) -> dict[str, Any]:
    return {"fuse": members, "rule": rule, "code": source_of(rule), "recording": plan.settings}


def judge_sets(work: Path) -> dict[tuple[str, tuple[str, ...]], dict[str, Any]]:
    """Every set of every rule by inputs that no fusion has seen."""
    base = open_base("toyworld")
    return {
        (rule, members): judged(base, members, load_file(fused_path(rule, members, work)), work)
        for members in all_sets()
        for rule in RULES
    }


def draw_sets(work: Path, workers: int) -> dict[tuple[str, tuple[str, ...]], dict[str, Any]]:
    """Every set out of every rule's fusion; drift for the first set of each size."""
    pairs = [(rule, members) for members in all_sets() for rule in RULES]
    tasks: list[Task] = []
    for rule, members in pairs:
        path = fused_path(rule, members, work)
        drift = members == sets(len(members))[0]
        key = {"draw": members, "rule": rule, "fused": digest(path)}
        tasks.append((key, draw_fused, (members, path, work, drift)))
    return dict(zip(pairs, _do(work, workers, tasks), strict=True))


def _ledger(work: Path) -> Ledger:
    return Ledger(work / "runs.jsonl")


def _do(work: Path, workers: int, tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Results in the order of the tasks; those that are known are not made again."""
    ledger = _ledger(work)
    work_off(ledger, tasks, workers, start_worker)
    return [ledger.get(task[0]) or {} for task in tasks]
