"""From raw results to the figures of `tune.json` and the tables of the documentation."""

from collections.abc import Callable, Sequence
from statistics import fmean, median, stdev
from typing import Any

from benchmarks.tuning.runs import Run

Results = Sequence[tuple[Run, dict[str, Any]]]
NEAR = 0.98
"""Of the final score: from there on more steps hardly matter."""

Score = Callable[[dict[str, Any]], float]


def score(result: dict[str, Any], scale: float = 1.0, name: str = "identity") -> float:
    """One number of a run; methods without adapters draw the same at every scale."""
    scores = result["scores"]
    return float(scores.get(f"{scale:g}", scores["1"])[name])


def by_method(results: Results, seeds: Sequence[int], ours: str = "ed-lora") -> dict[str, Any]:
    """For each method means over all runs, with spreads and the paired difference to ours."""
    methods = dict.fromkeys(run.method for run, _ in results)
    return {method: _of_method(results, method, seeds, ours) for method in methods}


def _of_method(results: Results, method: str, seeds: Sequence[int], ours: str) -> dict[str, Any]:
    own = {
        (run.character, run.seed): result
        for run, result in results
        if run.method == method and run.seed in seeds
    }
    theirs = {(run.character, run.seed): result for run, result in results if run.method == ours}
    differences = [score(theirs[key]) - score(result) for key, result in own.items()]
    return {
        "identity": fmean(score(result) for result in own.values()),
        "identity_seed_deviation": _seed_deviation(own, score),
        "identity_character_deviation": _character_deviation(own),
        "identity_embedding_only": fmean(score(result, 0) for result in own.values()),
        "embedding_only_seed_deviation": _seed_deviation(own, lambda result: score(result, 0)),
        "place": fmean(score(result, name="place") for result in own.values()),
        "real": fmean(score(result, name="real") for result in own.values()),
        "seconds": median(result["seconds"] for result in own.values()),
        "loss": fmean(result["loss"] for result in own.values()),
        "parameters": next(iter(own.values()))["parameters"],
        "ours_better_by": fmean(differences),
        "ours_better_by_error": _error(differences),
        "ours_better_in": sum(difference > 0 for difference in differences),
        "runs": len(own),
    }


def _by_character(own: dict[tuple[str, int], dict[str, Any]], of: Score) -> list[list[float]]:
    names = dict.fromkeys(character for character, _ in own)
    return [[of(result) for (who, _), result in own.items() if who == name] for name in names]


def _seed_deviation(own: dict[tuple[str, int], dict[str, Any]], of: Score) -> float:
    """Standard deviation between seeds, within a character (root mean square over characters)."""
    parts = [stdev(values) ** 2 for values in _by_character(own, of) if len(values) > 1]
    return fmean(parts) ** 0.5 if parts else 0.0


def _character_deviation(own: dict[tuple[str, int], dict[str, Any]]) -> float:
    means = [fmean(values) for values in _by_character(own, score)]
    return stdev(means) if len(means) > 1 else 0.0


def _error(values: Sequence[float]) -> float:
    """Standard error of the mean."""
    return stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def spread(results: Results) -> dict[str, Any]:
    """ED-LoRA's deviation between seeds over its mean identity, for each character watched."""
    found = {}
    for character, runs in _watched(results).items():
        values = [score(result) for _, result in runs]
        found[character] = {
            "spread": stdev(values) / fmean(values),
            "range": (max(values) - min(values)) / fmean(values),
            "identity": values,
        }
    return found


def course(results: Results) -> dict[str, Any]:
    """Identity over steps, and the seconds after which it stays within 2 % of the final one."""
    runs = [result for watched in _watched(results).values() for _, result in watched]
    steps = [point["step"] for point in runs[0]["points"]]
    arrivals = [_arrival(result) for result in runs]
    return {
        "identity": {
            step: fmean(result["points"][place]["identity"] for result in runs)
            for place, step in enumerate(steps)
        },
        "steps_to_near": median(point["step"] for point in arrivals),
        "seconds_to_near": median(point["seconds"] for point in arrivals),
        "seconds_to_near_most": max(point["seconds"] for point in arrivals),
    }


def _arrival(result: dict[str, Any]) -> dict[str, Any]:
    """The first point from which on no point is below 98 % of the last."""
    points = result["points"]
    enough = NEAR * points[-1]["identity"]
    late = max((i for i, point in enumerate(points) if point["identity"] < enough), default=-1)
    return dict(points[late + 1])


def _watched(results: Results) -> dict[str, list[tuple[Run, dict[str, Any]]]]:
    found: dict[str, list[tuple[Run, dict[str, Any]]]] = {}
    for run, result in results:
        if run.points:
            found.setdefault(run.character, []).append((run, result))
    return found


def search_table(results: Results) -> dict[str, dict[str, float]]:
    """Mean identity for each method and factor of its learning rates."""
    found: dict[str, dict[str, list[float]]] = {}
    for run, result in results:
        factors = found.setdefault(run.method, {})
        factors.setdefault(f"{run.factor:g}", []).append(score(result))
    return {
        method: {factor: fmean(values) for factor, values in factors.items()}
        for method, factors in found.items()
    }


def method_table(methods: dict[str, Any]) -> str:
    """The methods as a Markdown table."""
    lines = [
        "| method | identity | embedding alone | place | trained numbers | seconds | ED-LoRA better by |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in methods.items():
        difference = (
            "–"
            if name == "ed-lora"
            else f"{row['ours_better_by']:+.3f} ± {row['ours_better_by_error']:.3f}"
            f" ({row['ours_better_in']} of {row['runs']})"
        )
        lines.append(
            f"| {name} | {row['identity']:.3f} ± {row['identity_seed_deviation']:.3f}"
            f" | {row['identity_embedding_only']:.3f} ± {row['embedding_only_seed_deviation']:.3f}"
            f" | {row['place']:.2f} | {row['parameters']:,} | {row['seconds']:.0f} | {difference} |"
        )
    return "\n".join(lines)
