"""`make bench-federation`: what a federation survives, whom it lets in, how many it bears, what it sends.

Each part is measured in a process of its own and written into the result at once, with the commit that
it measured: a part that takes an hour is not lost with the next. `--part` measures one again.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.federating import crowd, doors, fuzz, kills, network, simulation, sizes
from benchmarks.federating.size import Size
from benchmarks.report import RESULTS, commit, print_table, write_result

Measure = Callable[[Path, Size], dict[str, Any]]
PARTS: dict[str, Measure] = {
    "doors": doors.measure,
    "fuzz": fuzz.measure,
    "sizes": sizes.measure,
    "network": network.measure,
    "simulation": simulation.measure,
    "kills": kills.measure,
    "crowd": crowd.measure,
}
GATES: dict[str, float] = {
    "kills": 40,
    "fuzz_cases": 50_000,
    "clients": 200,
    "downloads": 50,
    "downloads_verified": 50,
    "broadcast_ratio": 100,
    "virtual_clients": 100,
}
LIMITS: dict[str, float] = {
    "lost": 0,
    "fused_difference": 1e-5,
    "network_lost": 0,
    "doors_open": 0,
    "doors_shut": 0,
    "fuzz_accepted": 0,
    "fuzz_crashes": 0,
    "fuzz_hangs": 0,
    "upload_over_file": 1.1,
}


def main() -> None:
    """Measures one part, or all of them one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=tuple(PARTS))
    parser.add_argument("--dry", action="store_true", help="write no result")
    for one in fields(Size):
        parser.add_argument(f"--{one.name}", type=int, default=one.default)
    args = parser.parse_args()
    if args.part is None:
        for part in PARTS:
            again = [sys.executable, "-m", "benchmarks.federation", *sys.argv[1:], "--part", part]
            subprocess.run(again, check=True)
        return
    size = Size(**{one.name: getattr(args, one.name) for one in fields(Size)})
    with tempfile.TemporaryDirectory(prefix="fedshow-bench-") as work:
        figures = PARTS[args.part](Path(work), size)
    print_table(figures, GATES, LIMITS)
    if args.dry or size != Size(seed=size.seed):
        print(json.dumps(figures, indent=1))
    else:
        _add(args.part, figures)


def _add(part: str, figures: dict[str, Any]) -> None:
    """Puts a part's figures among those of the others; says of each when it was measured."""
    path = RESULTS / "federation.json"
    found = json.loads(path.read_text())["figures"] if path.exists() else {}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    measured = found.pop("measured", {}) | {part: {"commit": commit(), "date": now}}
    write_result("federation", found | figures | {"measured": measured})


if __name__ == "__main__":
    main()
