"""Regional sampling over plain sampling: the same picture's size, steps and guidance, with 1 to 4 regions."""

from collections.abc import Iterator
from statistics import median
from typing import Any

import torch

from benchmarks.timing import seconds
from benchmarks.tuning.sd15 import FULL, TINY, hosted, sd15
from fedshow.commands.output import say
from fedshow.families.placing import settle
from fedshow.sampling.model import Model
from fedshow.sampling.regions import Region

SIZES = ((512, 512), (512, 768), (768, 768), (512, 1024))
"""Height and width in pixels; `sampling_overhead_3` is that of the first."""

TINY_SIZES = ((64, 64), (64, 128))
PROMPT, IN_REGION = "two friends on the beach", "a {0} friend"


def measure(device: str, tiny: bool) -> Iterator[dict[str, Any]]:
    """`sampling_overhead_N` at the first size, then the same with 3 regions at the others."""
    base = hosted(sd15(device, TINY if tiny else FULL))
    settle(base, device, say)
    model, (first, *others) = Model(base), TINY_SIZES if tiny else SIZES
    steps, repeats = (2, 1) if tiny else (20, 5)
    for count in (3, 1, 2, 4):
        plain, regional = _race(model, first, count, steps, repeats)
        yield {f"sampling_overhead_{count}": regional / plain, "sampling_plain_seconds": plain}
    for height, width in others:
        plain, regional = _race(model, (height, width), 3, steps, repeats)
        yield {f"sampling_overhead_3_at_{width}x{height}": regional / plain}
        yield from _peaks(model, (height, width), steps)
    wide = others[-1]
    plain, regional = _race(model, wide, 3, steps, repeats, windows=1.0)
    yield {"sampling_windows_overhead_3": regional / plain}
    model.base.pipeline.unet.compile(
        fullgraph=True,  # ends with an error where the graph would break
        backend="inductor" if device == "cuda" else "eager",
    )
    plain, regional = _race(model, wide, 3, steps, repeats)
    yield {"sampling_compiled_overhead_3": regional / plain, "sampling_compiled_seconds": regional}


def _peaks(model: Model, size: tuple[int, int], steps: int) -> Iterator[dict[str, Any]]:
    """Most memory on the card that a plain picture and one with 3 regions take."""
    if model.base.device.type != "cuda":
        return
    height, width = size
    for name, regions in (("plain", []), ("regions", _side_by_side(3))):
        torch.cuda.reset_peak_memory_stats()
        model(PROMPT, regions=regions, steps=steps, height=height, width=width)
        peak = torch.cuda.max_memory_allocated() / 2**30
        yield {f"sampling_{name}_gigabytes_at_{width}x{height}": peak}


def _side_by_side(count: int) -> list[Region]:
    edges = [k / count for k in range(count + 1)]
    boxes = zip(edges, edges[1:], strict=False)
    return [
        Region(box=(a, 0.2, b, 1.0), prompt=IN_REGION.format(k)) for k, (a, b) in enumerate(boxes)
    ]


def _race(
    model: Model,
    size: tuple[int, int],
    count: int,
    steps: int,
    repeats: int,
    windows: float = 0.0,
) -> tuple[float, float]:
    """Median seconds of both, taking turns after one unmeasured picture each."""
    regions = _side_by_side(count)

    def draw(regions: list[Region]) -> float:
        height, width = size
        return seconds(
            lambda: model(
                PROMPT, regions=regions, windows=windows, steps=steps, height=height, width=width
            )
        )

    pairs = [(draw([]), draw(regions)) for _ in range(repeats + 1)][1:]
    return median(plain for plain, _ in pairs), median(regional for _, regional in pairs)
