"""Regional sampling over plain sampling: the same picture's size, steps and guidance, with 1 to 4 regions."""

from collections.abc import Iterator
from statistics import median
from typing import Any

import torch

from benchmarks.timing import seconds
from benchmarks.tuning.sd15 import FULL, TINY, sd15
from fedshow.families.opening import narrow
from fedshow.sampling.model import Model
from fedshow.sampling.regions import Region

SIZES = ((512, 512), (512, 768), (768, 768), (512, 1024))
"""Height and width in pixels; `sampling_overhead_3` is that of the first."""

TINY_SIZES = ((64, 64), (64, 128))
PROMPT, IN_REGION = "two friends on the beach", "a {0} friend"


def measure(device: str, tiny: bool) -> Iterator[dict[str, Any]]:
    """`sampling_overhead_N` at the first size, then the same with 3 regions at the others."""
    base = sd15(device, TINY if tiny else FULL)
    if device == "cuda":
        narrow(base)
    model, (first, *others) = Model(base), TINY_SIZES if tiny else SIZES
    steps, repeats = (2, 1) if tiny else (20, 5)
    for count in (3, 1, 2, 4):
        plain, regional = _race(model, first, count, steps, repeats)
        yield {f"sampling_overhead_{count}": regional / plain, "sampling_plain_seconds": plain}
    for height, width in others:
        plain, regional = _race(model, (height, width), 3, steps, repeats)
        yield {f"sampling_overhead_3_at_{width}x{height}": regional / plain}
    if device == "cuda":
        yield {"sampling_peak_gigabytes": torch.cuda.max_memory_allocated() / 2**30}


def _race(
    model: Model, size: tuple[int, int], count: int, steps: int, repeats: int
) -> tuple[float, float]:
    """Median seconds of both, taking turns after one unmeasured picture each."""
    edges = [k / count for k in range(count + 1)]
    boxes = zip(edges, edges[1:], strict=False)
    regions = [
        Region(box=(a, 0.2, b, 1.0), prompt=IN_REGION.format(k)) for k, (a, b) in enumerate(boxes)
    ]

    def draw(regions: list[Region]) -> float:
        height, width = size
        return seconds(
            lambda: model(PROMPT, regions=regions, steps=steps, height=height, width=width)
        )

    pairs = [(draw([]), draw(regions)) for _ in range(repeats + 1)][1:]
    return median(plain for plain, _ in pairs), median(regional for _, regional in pairs)
