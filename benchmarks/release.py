"""`make bench-release`: how soon a stranger has the demo and green tests, and how much of the docs is run."""

import os
import subprocess
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.report import print_table, write_result
from distribution.building import ROOT, build, commit_time

FROM_OUTSIDE = ("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
"""What a stranger's shell does not have."""
LEFT_BY_DEMO = ("grid.png", "report.json", "release/manifest.json")


def main() -> None:
    """Clones what is committed, and does there what the README says."""
    with tempfile.TemporaryDirectory(prefix="fedshow-clone-") as folder:
        clone = Path(folder) / "fedshow"
        figures = from_clone(ROOT, clone) | package(clone, Path(folder) / "dist") | documented()
    print_table(figures)
    write_result("release", figures)


def from_clone(source: Path, clone: Path) -> dict[str, float]:
    """Seconds from a fresh clone to the demo's picture and to the last green test, each with its set-up.

    The set-up is done once and counted in both. Raises CalledProcessError when one of them fails.
    """
    seconds = {"clone": timed("git", "clone", "--quiet", str(source), str(clone))}
    for target in ("setup", "demo", "test"):
        seconds[target] = timed("make", target, where=clone)
    for made in LEFT_BY_DEMO:
        assert (clone / "demo" / made).is_file(), f"the demo left no {made}"
    ready = seconds["clone"] + seconds["setup"]
    return {
        "clone_to_demo_seconds": round(ready + seconds["demo"], 1),
        "clone_to_test_seconds": round(ready + seconds["test"], 1),
        **{f"{part}_seconds": round(spent, 1) for part, spent in seconds.items()},
    }


def package(source: Path, out: Path) -> dict[str, float]:
    """Size of the wheel of a source tree."""
    wheel = build(source, out, commit_time(source)).wheel
    return {"wheel_megabytes": round(wheel.stat().st_size / 1e6, 2)}


def documented() -> dict[str, Any]:
    """How many blocks of commands and code the docs have, and how many of them the tests run."""
    blocks = import_module("tests.docs.blocks").all_blocks()
    left = {str(block): block.reason for block in blocks if not block.runs}
    return {
        "doc_blocks_run": len(blocks) - len(left),
        "doc_blocks": len(blocks),
        "doc_blocks_not_run": left,
    }


def timed(*command: str, where: Path | None = None) -> float:
    """Seconds that a command takes."""
    environment = {key: value for key, value in os.environ.items() if key not in FROM_OUTSIDE}
    began = time.perf_counter()
    subprocess.run(command, cwd=where, env=environment, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
