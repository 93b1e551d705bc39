"""`make bench-demo`: how long the main job takes, what fusion keeps, and what leaves a client."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean, stdev
from typing import Any
from xml.etree import ElementTree

from benchmarks.report import IMAGES, print_table, write_result
from fedshow.demo.drawing import Outcome, draw
from fedshow.demo.federation import sole_concept_file
from fedshow.demo.folders import people_of
from fedshow.device import choose_device

SEEDS, JOINT = range(4), 32
GATES = {"identity_kept_min": 0.95, "both_present": 0.8}
ROOT = Path(__file__).parent.parent


def main() -> None:
    """Runs the demo as people do, then measures its outcome on more pictures."""
    choose_device("cpu")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "demo"
        seconds = run_demo(out)
        (out / "grid.png").replace(IMAGES / "demo.png")
        figures = measure(out) | {"seconds": round(seconds, 1)} | upload(Path(folder))
    print_table(figures, GATES)
    write_result("demo", figures)


def run_demo(out: Path) -> float:
    """Seconds that `fedshow demo` takes."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "fedshow.cli", "demo", "--out", str(out)], check=True)
    return time.perf_counter() - started


def measure(out: Path) -> dict[str, Any]:
    """Identity over 20 prompts × 4 seeds a concept, and 32 joint pictures."""
    people = people_of(out)
    singles = [sole_concept_file(person) for person in people]
    outcome = Outcome(people, singles, out / "release", out / "average", "toyworld")
    _, report = draw(outcome, SEEDS, JOINT)
    scores = report["identity"]
    return {
        "identity_kept_min": min(s["fused"] / s["single"] for s in scores.values()),
        "average_kept_max": max(s["average"] / s["single"] for s in scores.values()),
        "identity_single_mean": fmean(s["single"] for s in scores.values()),
        **{key: value for key, value in report.items() if key.startswith("both_")},
        "identity": scores,
        "spread": {
            name: {kind: stdev(found) for kind, found in kinds.items()}
            for name, kinds in report["identity_of_pictures"].items()
        },
        "raw": report["identity_of_pictures"],
    }


def upload(folder: Path) -> dict[str, float]:
    """Bytes that a client process sent in all, over the size of its concept file."""
    result = folder / "bytes.xml"
    test = "tests/end_to_end/test_bytes.py::test_nothing_but_the_adapter_leaves_the_client"
    options = ["-q", f"--junitxml={result}", "-o", "junit_family=xunit1"]
    command = [sys.executable, "-m", "pytest", test, *options]
    subprocess.run(command, cwd=ROOT, check=True)
    found = {
        item.get("name", ""): float(item.get("value", "nan"))
        for item in ElementTree.parse(result).iter("property")  # noqa: S314  # we wrote it
    }
    return {
        "upload_over_file": found["bytes_sent"] / found["concept_bytes"],
        "upload_bytes": found["bytes_sent"],
        "concept_bytes": found["concept_bytes"],
    }


if __name__ == "__main__":
    main()
