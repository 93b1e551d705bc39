"""Fused updates of the study's sets, each solved once."""

import time
from collections.abc import Sequence
from typing import Any

from benchmarks.fusing.judging import fused_path, solve_set, source_of
from benchmarks.ledger import Ledger, processes
from benchmarks.study.bench import Bench, start_worker
from benchmarks.study.drawing import Members
from benchmarks.study.tuning import file_of, folder_of
from fedshow.files import digest

Job = tuple[str, Sequence[Members], Sequence[str]]
"""A way, its sets and the rules that fuse them."""


def fuse_ways(bench: Bench, jobs: Sequence[Job]) -> None:
    """Fuses what several ways tuned, as many at once as there are workers."""
    missing = [job for job in jobs if _lacks(bench, job)]
    if bench.workers < 2 or len(missing) < 2:
        for job in missing:
            fuse_sets(bench, *job)
        return
    with processes(bench.workers, start_worker) as pool:
        for done in [pool.submit(fuse_sets, bench, *job) for job in missing]:
            done.result()


def fuse_sets(bench: Bench, way: str, sets: Sequence[Members], rules: Sequence[str]) -> None:
    """Fuses every set of a way by every rule, in this process, for a ledger of records belongs to one."""
    ledger = Ledger(bench.work / "runs.jsonl")
    for members in sets:
        started = time.perf_counter()
        missing = [rule for rule in rules if not _is_known(bench, ledger, way, rule, members)]
        if missing:
            folder = folder_of(way, bench.work)
            solve_set(bench.base, members, folder, bench.extent.plan, missing)
            seconds = time.perf_counter() - started
            print(f"fused {len(members)} of {way} in {seconds:.0f} s", flush=True)
        for rule in missing:
            path = fused_path(rule, members, folder_of(way, bench.work))
            ledger.add(_key(bench, way, rule, members), {"sha256": digest(path)})


def _lacks(bench: Bench, job: Job) -> bool:
    way, sets, rules = job
    ledger = Ledger(bench.work / "runs.jsonl")
    return any(
        not _is_known(bench, ledger, way, rule, members) for members in sets for rule in rules
    )


def _is_known(bench: Bench, ledger: Ledger, way: str, rule: str, members: Members) -> bool:
    path = fused_path(rule, members, folder_of(way, bench.work))
    known = ledger.get(_key(bench, way, rule, members))
    return known is not None and path.is_file() and digest(path) == known["sha256"]


def _key(bench: Bench, way: str, rule: str, members: Members) -> dict[str, Any]:
    return {
        "fuse": members,
        "way": way,
        "rule": rule,
        "files": [digest(file_of(way, name, bench.work))[:16] for name in members],
        "code": source_of(rule),
        "recording": bench.extent.plan.settings,
        "device": bench.device,
    }
