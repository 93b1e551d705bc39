"""From raw results to the figures of `fusion.json` and the tables of the documentation."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from benchmarks.fusing.concepts import SIZES, sets

Results = Mapping[tuple[str, tuple[str, ...]], Mapping[str, Any]]
"""Rule and set to what `draw_fused` found, with `heldout` and `drift_statistic` of `fuse_set`."""

Singles = Mapping[str, float]
"""Identity of each concept by itself."""


def kept(results: Results, singles: Singles, rule: str, size: int) -> dict[str, float]:
    """Fused over single identity: mean over all concepts of all sets of one size, and its spread."""
    found = [
        results[rule, members]["concepts"][name]["identity"] / singles[name]
        for members in sets(size)
        for name in members
    ]
    return {"mean": fmean(found), "deviation": stdev(found), "least": min(found)}


def average_of(results: Results, rule: str, size: int, name: str) -> float:
    """Mean over sets of one number; of numbers per concept, over these too."""
    values = []
    for members in sets(size):
        found = results[rule, members]
        if name == "to_single":
            values.append(fmean(one["to_single"] for one in found["concepts"].values()))
        elif name == "heldout":
            values.append(fmean(found["heldout"].values()))
        elif found[name] is not None:
            values.append(float(found[name]))
    return fmean(values)


def table(results: Results, singles: Singles, rules: Sequence[str]) -> dict[str, dict[int, Any]]:
    """Everything per rule and size."""
    return {
        rule: {
            size: {
                "kept": kept(results, singles, rule, size),
                **{
                    name: average_of(results, rule, size, name)
                    for name in ("to_single", "heldout", "drift", "drift_statistic")
                },
            }
            for size in SIZES
        }
        for rule in rules
    }


def figures(table: Mapping[str, Mapping[int, Any]]) -> dict[str, float]:
    """The figures that `surface.md` names."""
    others = [rule for rule in table if not rule.startswith("gradient")]
    ours = table["gradient"]
    return {
        **{f"kept_{size}": ours[size]["kept"]["mean"] for size in SIZES},
        **{
            f"best_other_kept_{size}": max(table[rule][size]["kept"]["mean"] for rule in others)
            for size in SIZES
        },
        "heldout_ratio_max": max(
            ours[size]["heldout"] / min(table[rule][size]["heldout"] for rule in others)
            for size in SIZES
        ),
        "drift": max(ours[size]["drift"] for size in SIZES),
        "average_drift": max(table["average"][size]["drift"] for size in SIZES),
        "drift_over_average_max": max(
            ours[size]["drift"] / table["average"][size]["drift"] for size in SIZES
        ),
    }


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's: 1 when both put everything in the same order."""
    ranks = [_ranks(values) for values in (first, second)]
    means = [fmean(r) for r in ranks]
    product = sum((a - means[0]) * (b - means[1]) for a, b in zip(*ranks, strict=True))
    sizes = [sum((value - mean) ** 2 for value in r) for r, mean in zip(ranks, means, strict=True)]
    return float(product / (sizes[0] * sizes[1]) ** 0.5)


def _ranks(values: Sequence[float]) -> list[float]:
    """Equal values share the mean of their places."""
    order = sorted(values)
    return [fmean(place for place, other in enumerate(order) if other == value) for value in values]


def forecast(results: Results, singles: Singles, rule: str = "gradient") -> dict[str, float]:
    """Rank correlations, over all sets, of what a concept misses on unseen inputs in the layers that show.

    With the identity that it loses, and with the distance of its pictures to its single ones.
    """
    missed, lost, distances = [], [], []
    for (used, _), found in results.items():
        for name, one in found["concepts"].items() if used == rule else ():
            missed.append(found["shown"][name])
            lost.append(1 - one["identity"] / singles[name])
            distances.append(one["to_single"])
    return {
        "forecast_rank_correlation": rank_correlation(missed, lost),
        "forecast_pictures_correlation": rank_correlation(missed, distances),
    }


def markdown(table: Mapping[str, Mapping[int, Any]]) -> str:
    """Identity kept, held-out residual and drift of every rule."""
    head = " | ".join(f"kept, {size}" for size in SIZES)
    lines = [f"| rule | {head} | held-out, 8 | to single, 8 | drift, 8 |", "|---" * 8 + "|"]
    for rule, by_size in table.items():
        cells = [
            f"{by_size[s]['kept']['mean']:.3f} ± {by_size[s]['kept']['deviation']:.3f}"
            for s in SIZES
        ]
        eight = by_size[8]
        cells += [f"{eight[name]:.4f}" for name in ("heldout", "to_single", "drift")]
        lines.append(f"| {rule} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
