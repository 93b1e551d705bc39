"""`make bench-fusion`: how fast, how good, how flat and how reversible fusion is.

Raw results lie in the work folder; what is there is not measured again. `--part` measures some of it.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.fusing import study
from benchmarks.options import options
from benchmarks.report import print_table, write_result

WORK = Path("build/bench-fusion")
GATES = {
    "solver_speedup_min": 100.0,
    "whole_speedup": 20.0,
    "kept_8": 0.95,
    "kept_16": 0.90,
}
LIMITS = {
    "fit_ratio_max": 1.0,
    "heldout_ratio_max": 1.0,
    "drift_over_average_max": 1.0,
    "add_100_over_5": 1.2,
    "memory_100_over_5": 1.05,
    "remove_error_max": 1e-6,
}
PARTS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "solver": lambda _, __: study.solve(),
    "growth": lambda _, __: study.growing(),
    "removal": lambda _, __: study.removal(),
    "whole": lambda work, workers: study.whole(work, workers),
    "pictures": study.pictures,
    "curve": study.curve,
}


def main() -> None:
    """Measures what the work folder lacks; each part in a process of its own, so that memory is its own."""
    args = options(__doc__, WORK, PARTS)
    args.work.mkdir(parents=True, exist_ok=True)
    if args.part:
        found = PARTS[args.part](args.work, args.workers)
        (args.work / f"{args.part}.json").write_text(json.dumps(found, indent=1))
        return print_table(found, GATES, LIMITS)
    figures: dict[str, Any] = {}
    for part in PARTS:
        path = args.work / f"{part}.json"
        if not path.is_file():
            words = ["--work", str(args.work), "--workers", str(args.workers), "--part", part]
            command = [sys.executable, "-m", "benchmarks.fusion", *words]
            subprocess.run(command, check=True)
        figures |= json.loads(path.read_text())
    print_table(figures, GATES, LIMITS)
    write_result("fusion", figures)
    return None


if __name__ == "__main__":
    main()
