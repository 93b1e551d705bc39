"""`make bench-tune`: how fast tuning is, and how good its concepts are, method against method.

Raw results lie in the work folder; what is there is not measured again, so that the hours that the study
takes can be cut into pieces. `--part` measures some of it; figures are written when all of it is there.
"""

import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.options import options
from benchmarks.private_folder import person
from benchmarks.report import print_table, write_result
from benchmarks.tuning import figures, study
from benchmarks.tuning.loops import CHARACTER
from benchmarks.tuning.pace import all_races

WORK = Path("build/bench-tune")
GATES = {"steps_ratio_cpu": 2.0, "better_than_best_baseline": 0.0}
LIMITS = {"spread": 0.03, "seconds_per_concept": 90.0}
PARTS = ("pace", "search", "study")


def main() -> None:
    """Measures what the work folder does not have yet, prints tables, writes `tune.json`."""
    args = options(__doc__, WORK, PARTS)
    wanted = [args.part] if args.part else PARTS
    found: dict[str, Any] = {}
    if "search" in wanted:
        found |= search(args.work, args.workers)
    if "study" in wanted:
        found |= quality(args.work, args.workers)
    if "pace" in wanted:
        found |= pace(args.work)
    print_table(found, GATES, LIMITS)
    if not args.part:
        write_result("tune", found)


def pace(work: Path) -> dict[str, Any]:
    """Steps against the plain loop's, and the whole command; measured anew each time, on a quiet machine."""
    folder = work / "people"
    someone = person(CHARACTER, folder)
    races = all_races(folder)
    out = work / f"{CHARACTER}.safetensors"
    words = ["tune", str(someone.images), "--name", someone.concept, "--class", someone.class_word]
    started = time.perf_counter()
    command = [sys.executable, "-m", "fedshow.cli", *words, "-o", str(out), "--no-resume"]
    subprocess.run(command, check=True)
    return {
        "steps_ratio_cpu": races["no_captions_1_thread"]["ratio"],
        "steps_ratio_cpu_captions": races["captions_1_thread"]["ratio"],
        "seconds_tune_command": time.perf_counter() - started,
        "races": races,
    }


def search(work: Path, workers: int) -> dict[str, Any]:
    """Identity by method and factor of its learning rates: whether a baseline was held back."""
    table = figures.search_table(study.do(study.search_runs(), work, workers))
    for method, factors in table.items():
        print(method, "  ".join(f"x{key}: {value:.3f}" for key, value in factors.items()))
    return {"rate_search": table}


def quality(work: Path, workers: int) -> dict[str, Any]:
    """The methods against each other, ED-LoRA's spread, and how soon a concept is good."""
    results = study.do(study.study_runs(), work, workers)
    bounds = study.do_bounds(work, workers)
    methods = figures.by_method(results, study.SEEDS)
    print(figures.method_table(methods))
    baselines = {name: row for name, row in methods.items() if name != "ed-lora"}
    best = max(baselines, key=lambda name: float(baselines[name]["identity"]))
    spreads, course = figures.spread(results), figures.course(results)
    return {
        "identity_ed_lora": methods["ed-lora"]["identity"],
        "identity_best_baseline": methods[best]["identity"],
        "better_than_best_baseline": methods[best]["ours_better_by"],
        "best_baseline": best,
        "identity_embedding_only": methods["ed-lora"]["identity_embedding_only"],
        "identity_lora_embedding_only": methods["lora"]["identity_embedding_only"],
        "identity_class_word": fmean(b["class_word"]["identity"] for b in bounds.values()),
        "identity_private_pictures": fmean(b["private_pictures"] for b in bounds.values()),
        "spread": max(found["spread"] for found in spreads.values()),
        "seconds_per_concept": course["seconds_to_near"],
        "methods": methods,
        "spreads": spreads,
        "course": course,
        "bounds": bounds,
        "raw": raw(work),
    }


def raw(work: Path) -> list[dict[str, Any]]:
    """Identities of every run: who, how, which seed."""
    results = study.do(study.study_runs(), work, 1)
    return [
        {
            "character": run.character,
            "method": run.method,
            "seed": run.seed,
            "identity": figures.score(result),
            "embedding_only": figures.score(result, 0),
            "place": figures.score(result, name="place"),
            "points": [point["identity"] for point in result["points"]],
        }
        for run, result in results
    ]


if __name__ == "__main__":
    main()
