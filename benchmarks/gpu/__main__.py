"""`make bench-gpu`: fusion, sampling, tuning and all of it at bases' true sizes, on a real accelerator.

Each part is a process of its own and keeps its figures in `--out` as soon as it has them; what is there
whole is not measured again. `--tiny --device cpu` runs every line at toy size and writes no result.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import (
    families,
    fusion,
    grams,
    roofline,
    sampling,
    scaling,
    toyworld,
    tuning,
    tuning_grid,
)
from benchmarks.report import RESULTS, commit, print_table, write_result
from benchmarks.toyworld import GATES as TOYWORLD_GATES
from fedshow.device import choose_device

Measure = Callable[..., Iterator[dict[str, Any]]]
PARTS: dict[str, Measure] = {  # the most wanted first: a machine may be lent for minutes
    "fusion": fusion.measure,
    "sampling": sampling.measure,
    "tuning": tuning.measure,
    "tuning-grid": tuning_grid.measure,
    "sd1": partial(families.measure, "sd1"),
    "sdxl": partial(families.measure, "sdxl"),
    "grams": grams.measure,
    "roofline": roofline.measure,
    "scaling": partial(scaling.measure, "sd1"),
    "scaling-sdxl": partial(scaling.measure, "sdxl"),
    "fusion-as-shipped": fusion.measure_as_shipped,
    "toyworld": toyworld.measure,  # the last: it takes more than one call
}
FILES = ("tuning-grid", "toyworld")
"""Parts that leave files beside their figures, in a folder of their name."""

PART_SECONDS = 280.0
LONG = {"sdxl": 600.0, "scaling-sdxl": 600.0}
"""Parts that take longer than the others: seconds after which they are stopped."""

GATES = {"tune_ratio": 2.0, "tune_rate_share": 0.45}
GATES |= {f"toyworld_{name}": least for name, least in TOYWORLD_GATES.items()}
LIMITS = {
    "fusion_14_seconds": 60.0,
    "record_over_passes": 1.5,
    "solve_14_seconds": 5.0,
    "host_memory_14_over_1": 1.05,
    "sampling_overhead_3": 1.2,
    "tune_peak_gigabytes": 10.0,
    "gram_loss": 1e-3,
}
WORK = Path("build/bench-gpu")


def main() -> int:
    """Exit status: 0 all measured, 1 a part failed or is not whole, 2 there is no accelerator."""
    args = _arguments()
    if args.device == "cuda" and not torch.cuda.is_available():
        print(
            "bench-gpu: torch finds no accelerator; dry run: --tiny --device cpu", file=sys.stderr
        )
        return 2
    if args.device == "cpu" and not args.tiny:
        print("bench-gpu: --device cpu needs --tiny, a dry run without figures", file=sys.stderr)
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    if args.part:
        _measure(args.part, args)
        return 0
    for part in PARTS:
        if not _found(args.out, part).get("whole"):
            _run(part, args)
    return _finish(args)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="toy size: a dry run, writes no result")
    parser.add_argument("--part", choices=tuple(PARTS), help="measure only this, again")
    parser.add_argument("--out", type=Path, default=WORK, help="a JSON file for each part")
    parser.add_argument("--limit", type=float, help="seconds that a part may take")
    args = parser.parse_args()
    if args.tiny and args.out == WORK:
        args.out = WORK / "tiny"
    return args


def _measure(part: str, args: argparse.Namespace) -> None:
    """Measures one part here; its file is written again with everything it finds."""
    choose_device(args.device)  # fixes threads as the product does
    figures: dict[str, Any] = {}
    more = {"files": args.out / part} if part in FILES else {}
    for found in PARTS[part](args.device, args.tiny, **more):
        figures |= found
        print_table(found, GATES, LIMITS)
        sys.stdout.flush()
        _keep(args.out, part, figures, whole=False)
    _keep(args.out, part, figures, whole=True)


def _keep(out: Path, part: str, figures: dict[str, Any], whole: bool) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    kept = {"commit": commit(), "date": now, "whole": whole, "figures": figures}
    path = out / f"{part}.json"
    new = path.with_suffix(".new")
    new.write_text(json.dumps(kept, indent=1))
    new.replace(path)


def _found(out: Path, part: str) -> dict[str, Any]:
    path = out / f"{part}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def _run(part: str, args: argparse.Namespace) -> None:
    """Measures one part in a process of its own; its failure is not that of the others, nor are its files."""
    print(f"-- {part}", flush=True)
    words = ["--part", part, "--out", str(args.out), "--device", args.device]
    command = [sys.executable, "-m", "benchmarks.gpu", *words, *(["--tiny"] if args.tiny else [])]
    limit = args.limit or LONG.get(part, PART_SECONDS)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        own = os.environ | {"TMPDIR": work}  # a process that is stopped leaves gigabytes
        try:
            status = subprocess.run(command, check=False, timeout=limit, env=own).returncode
        except subprocess.TimeoutExpired:
            print(f"{part}: stopped after {limit:g} s", file=sys.stderr)
        else:
            if status:
                print(f"{part}: failed with exit status {status}", file=sys.stderr)


def _finish(args: argparse.Namespace) -> int:
    """All figures in one table, and in gpu.json where they come from a real accelerator."""
    found = {part: kept for part in PARTS if (kept := _found(args.out, part))}
    missing = [part for part in PARTS if not found.get(part, {}).get("whole")]
    figures = {name: value for kept in found.values() for name, value in kept["figures"].items()}
    print("-- all")
    print_table(figures, GATES, LIMITS)
    if missing:
        print(f"not whole: {', '.join(missing)}", file=sys.stderr)
    if args.tiny:
        print("a dry run: nothing of this is a figure")
        return 1 if missing else 0
    said = ("commit", "date", "whole")
    figures["measured"] = {part: {k: kept[k] for k in said} for part, kept in found.items()}
    figures["accelerator"] = torch.cuda.get_device_name()
    for folder in (args.out, RESULTS):
        print(write_result("gpu", figures, folder))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
