"""Regional sampling over plain sampling: same size, steps and guidance, 1 to 4 regions, compiled or not."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch
from torch._dynamo.testing import CompileCounter

from benchmarks.timing import card_gigabytes, seconds
from benchmarks.tuning.sd15 import FLAT, FULL, hosted, sd15
from fedshow.commands.output import say
from fedshow.families.placing import settle
from fedshow.sampling.model import Model
from fedshow.sampling.regions import Region

SIZES = ((512, 512), (512, 768), (768, 768), (512, 1024))
"""Height and width in pixels; `sampling_overhead_3` is that of the first."""

TINY_SIZES = ((64, 64), (64, 128))
COUNTS = (3, 1, 2, 4)
PROMPT, IN_REGION = "two friends on the beach", "a {0} friend"


def measure(device: str, tiny: bool) -> Iterator[dict[str, Any]]:
    """`sampling_overhead_N` of N regions at the first size, with memory, then the same at the others."""
    base = hosted(sd15(device, FLAT if tiny else FULL))
    settle(base, device, say)
    model, (first, *others) = Model(base), TINY_SIZES if tiny else SIZES
    steps, repeats = (2, 1) if tiny else (20, 5)
    for count in COUNTS:
        plain, regional = _race(model, first, count, steps, repeats)
        yield {f"sampling_overhead_{count}": regional / plain, "sampling_plain_seconds": plain}
    yield from _peaks(model, first)
    for size in others:
        yield from _at(size, model, 2 if tiny else 12)
    wide = others[-1]
    plain, regional = _race(model, wide, 3, steps, repeats, windows=1.0)
    yield {"sampling_windows_overhead_3": regional / plain}
    yield from _graphs(model, first, (3,) if tiny else COUNTS)
    model.base.pipeline.unet.compile(
        fullgraph=True,  # ends with an error where the graph would break
        backend="inductor" if device == "cuda" else "eager",
    )
    plain, regional = _race(model, wide, 3, steps, repeats)
    yield {"sampling_compiled_overhead_3": regional / plain, "sampling_compiled_seconds": regional}


def _at(size: tuple[int, int], model: Model, steps: int) -> Iterator[dict[str, Any]]:
    """Overhead of 1 to 4 regions at this size, by fewer pictures of fewer steps, and memory."""
    height, width = size
    for count in COUNTS:
        plain, regional = _race(model, size, count, steps, 2)
        yield {f"sampling_overhead_{count}_at_{width}x{height}": regional / plain}
    yield from _peaks(model, size)


def _peaks(model: Model, size: tuple[int, int]) -> Iterator[dict[str, Any]]:
    """Most memory on the card that a plain picture and ones with regions take; steps do not change it."""
    if model.base.device.type != "cuda":
        return
    height, width = size
    for count in (0, *COUNTS):
        torch.cuda.reset_peak_memory_stats()
        model(PROMPT, regions=side_by_side(count), steps=2, height=height, width=width)
        peak = card_gigabytes()
        name = {0: "plain", 3: "regions"}.get(count, f"regions_{count}")
        yield {f"sampling_{name}_gigabytes_at_{width}x{height}": peak}


def _graphs(model: Model, size: tuple[int, int], counts: Sequence[int]) -> Iterator[dict[str, Any]]:
    """In how many graphs the denoiser is compiled with so many regions, for two pictures: whole, it is one.

    What is compiled is not made fast here, for speed is measured apart.
    """
    height, width = size
    for count in counts:
        counter = CompileCounter()
        with compiled(model.base.pipeline.unet, backend=counter):
            for seed in (0, 1):
                regions = side_by_side(count)
                model(PROMPT, regions=regions, steps=2, height=height, width=width, seed=seed)
        yield {f"sampling_graphs_{count}": counter.frame_count}
    torch.compiler.reset()


@contextmanager
def compiled(denoiser: Any, **options: Any) -> Iterator[None]:
    """Within the block the denoiser is compiled, with `torch.compile`'s options."""
    torch.compiler.reset()
    denoiser.forward = torch.compile(denoiser.forward, **options)
    try:
        yield
    finally:
        del denoiser.forward  # the instance's; the class's remains


def side_by_side(count: int) -> list[Region]:
    """So many regions of equal width; none for a plain picture."""
    edges = [k / max(count, 1) for k in range(count + 1)]
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
    regions = side_by_side(count)

    def draw(regions: list[Region]) -> float:
        height, width = size
        return seconds(
            lambda: model(
                PROMPT, regions=regions, windows=windows, steps=steps, height=height, width=width
            )
        )

    pairs = [(draw([]), draw(regions)) for _ in range(repeats + 1)][1:]
    return median(plain for plain, _ in pairs), median(regional for _, regional in pairs)
