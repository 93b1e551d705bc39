"""What regions cost: seconds of a step with K regions over those of the plain picture, taking turns."""

from statistics import median
from typing import Any

import torch

from benchmarks.embedded import toyworld
from benchmarks.timing import seconds
from fedshow.sampling.model import Model
from fedshow.sampling.regions import Region

SIZES = ((32, 32), (64, 64), (128, 64))
"""Width and height in pixels; the figures are those of the last."""

COUNTS = (1, 2, 3, 4)
STEPS, ROUNDS = 20, 9


def measure() -> dict[str, Any]:
    """`overhead_K` for disjoint regions side by side, and with a window for each."""
    torch.set_num_threads(1)
    model = Model(toyworld())
    try:
        found = {
            f"{width}x{height} {count}": _overhead(model, (width, height), count)
            for width, height in SIZES
            for count in COUNTS
        }
        windows = {
            f"windows_overhead_{count}": _overhead(model, SIZES[-1], count, windows=1.0)
            for count in COUNTS
        }
    finally:
        model.restore()
    width, height = SIZES[-1]
    wanted = {f"overhead_{count}": found[f"{width}x{height} {count}"] for count in COUNTS}
    return {**wanted, **windows, "overheads": found}


def _overhead(model: Model, size: tuple[int, int], count: int, windows: float = 0.0) -> float:
    """Median of the ratios of neighbouring runs; the encoding of prompts is not a step's."""
    edges = [k / count for k in range(count + 1)]
    regions = [
        Region(box=(left, 0.1, right, 1.0), prompt=f"a {word} robot")
        for left, right, word in zip(
            edges, edges[1:], ("red", "blue", "green", "pink"), strict=False
        )
    ]
    ratios = [
        _per_step(model, size, regions, windows) / _per_step(model, size, []) for _ in range(ROUNDS)
    ]
    return median(ratios[1:])


def _per_step(
    model: Model, size: tuple[int, int], regions: list[Region], windows: float = 0.0
) -> float:
    """Seconds of one step more: what comes before and after the steps cancels out."""

    def run(steps: int) -> float:
        width, height = size
        return seconds(
            lambda: model(
                "a beach",
                regions=regions,
                windows=windows,
                steps=steps,
                width=width,
                height=height,
            )
        )

    return (run(STEPS) - run(2)) / (STEPS - 2)
