"""How far fusing, tuning and drawing by regions are from what this card could do at most, SD 1.5's shape.

Of each, what must be computed and moved makes a floor: operations over the rate of a large bfloat16 matrix
product, or bytes over the rate of a large copy, whichever takes longer; both rates are measured on the same
card. Measured seconds over the floor say what is left to gain; precision, too, is part of it, for what runs
in float32 has the same floor.

Operations of passes and steps are those that torch counts (matrix products, convolutions, attention), of Gram
sums and of solving closed forms. Bytes are what linear layers and convolutions read and write, as if nothing
else moved any: inputs, weights and outputs of each once, and once more on the way back of a tuning step.
Moments: see `benchmarks.gpu.work`. Decompositions are the processor's: what they compute counts over the
rate of a large float64 product on its cores.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu import work
from benchmarks.gpu.fusion import LEAN, RANK, TOY, bare_pass, concept
from benchmarks.gpu.sampling import side_by_side
from benchmarks.gpu.scaling import THIN
from benchmarks.gpu.tuning import matrix_rate, trainer
from benchmarks.timing import median_seconds, seconds, wait
from benchmarks.tuning.sd15 import FULL, TINY, hosted, sd15
from fedshow.commands.output import say
from fedshow.families import Base
from fedshow.families.placing import settle as settle_to_draw
from fedshow.sampling.model import Model
from fedshow_server.fusion.fuse import bring_in, ledger_of
from fedshow_server.fusion.listening import listening_to_pictures
from fedshow_server.fusion.moments import Moments
from fedshow_server.fusion.placing import settle
from fedshow_server.fusion.recording import Plan
from fedshow_server.fusion.wiring import Wiring
from fedshow_server.fusion.workers import Here, fitted

Figures = dict[str, Any]
COPY_BYTES = {"cuda": 2**32, "cpu": 2**22}
CORES_EDGE = {"cuda": 4096, "cpu": 256}
REGIONS = 3


@dataclass(frozen=True)
class Rates:
    """What the machine does at most, in a second."""

    flops: float
    bytes: float
    cores_flops: float
    """Of the processor, float64."""


@dataclass(frozen=True)
class Work:
    """What one thing takes at least, and the seconds that it took."""

    name: str
    flops: float
    bytes: float
    seconds: float
    cores_flops: float = 0.0

    def floor(self, rates: Rates) -> float:
        """Seconds below which no program for this machine comes."""
        parts = self._parts(rates)
        return max(parts["matrix"], parts["memory"]) + parts["cores"]

    def bound(self, rates: Rates) -> str:
        """What the floor is mostly made of."""
        parts = self._parts(rates)
        return max(parts, key=lambda name: parts[name])

    def _parts(self, rates: Rates) -> dict[str, float]:
        return {
            "matrix": self.flops / rates.flops,
            "memory": self.bytes / rates.bytes,
            "cores": self.cores_flops / rates.cores_flops,
        }


def measure(device: str, tiny: bool) -> Iterator[Figures]:
    """The rates, then of each piece of work `roofline_NAME_…`; in the end all as a table."""
    rates = _rates(device)
    yield {
        "roofline_matrix_teraflops": rates.flops / 1e12,
        "roofline_copy_gigabytes_a_second": rates.bytes / 1e9,
        "roofline_cores_teraflops": rates.cores_flops / 1e12,
    }
    rows = []
    for parts in (_fusion, _tuning, _regions):
        for found in parts(device, tiny):
            figures = _figures(found, rates)
            yield {f"roofline_{found.name}_{key}": value for key, value in figures.items()}
            rows.append(_ROW.format(found.name, **figures))
    print(_HEAD, *rows, sep="\n")


def _figures(found: Work, rates: Rates) -> Figures:
    floor = found.floor(rates)
    return {
        "teraflop": (found.flops + found.cores_flops) / 1e12,
        "gigabytes": found.bytes / 1e9,
        "floor_seconds": floor,
        "bound": found.bound(rates),
        "seconds": found.seconds,
        "over_floor": found.seconds / floor,
    }


_HEAD = f"{'':<12}{'TFLOP':>10}{'GB':>10}{'floor s':>12}{'bound by':>10}{'took s':>12}{'ratio':>8}"
_ROW = (
    "{:<12}{teraflop:>10.4g}{gigabytes:>10.4g}{floor_seconds:>12.4g}{bound:>10}"
    "{seconds:>12.4g}{over_floor:>8.3g}"
)


def _rates(device: str) -> Rates:
    size, edge = COPY_BYTES[device], CORES_EDGE[device]
    source = torch.empty(size, dtype=torch.uint8, device=device).fill_(1)
    target = torch.empty_like(source)
    copied = 2 * size / median_seconds(lambda: target.copy_(source), 10)  # read and written
    left, right = (torch.randn(edge, edge, dtype=torch.float64) for _ in range(2))
    cores = 2 * edge**3 / median_seconds(lambda: left @ right, 3)
    return Rates(matrix_rate(device), copied, cores)


def _fusion(device: str, tiny: bool) -> Iterator[Work]:
    """A pass of the recording, bare and as it is recorded, its Gram sums, and the solving of two concepts."""
    base = hosted(sd15(device, TINY if tiny else FULL))
    plan = fitted(TOY if tiny else LEAN, settle(base, device, say))
    repeats, batch = 2 if tiny else 10, 2 * plan.fit_prompts
    once = bare_pass(base, batch)
    bare = _counted("pass", once, [base.denoiser], repeats)
    yield bare
    grams = _grams(base, once, repeats)
    yield grams
    moments = Moments()
    with listening_to_pictures(base, moments.add):
        spent = median_seconds(once, repeats)
    yield Work("recorded", bare.flops + grams.flops, bare.bytes + grams.bytes, spent)
    yield _solving(base, replace(plan, **THIN))


def _grams(base: Base, once: Callable[[], Tensor], repeats: int) -> Work:
    """Of all that one pass reads."""
    heard: dict[str, Tensor] = {}
    with listening_to_pictures(base, heard.__setitem__):
        once()
    moments, flops, moved = Moments(), 0.0, 0.0
    for inputs in heard.values():
        tokens, width = inputs[..., 0].numel(), inputs.shape[-1]
        flops += work.gram_flops(tokens, width)
        moved += work.gram_bytes(tokens, width, inputs.element_size())

    def add() -> None:
        for name, inputs in heard.items():
            moments.add(name, inputs)

    return Work("grams", flops, moved, median_seconds(add, repeats))


def _solving(base: Base, plan: Plan) -> Work:
    """All layers of two concepts, once their sums are made; more concepts take little more."""
    wiring = Wiring.of(base.card, base.family)
    with (
        tempfile.TemporaryDirectory() as folder,
        ledger_of(base, plan, device=base.device) as ledger,
    ):
        concepts = [concept(Path(folder), base.card, number) for number in range(2)]
        bring_in(ledger, base, concepts, plan, lambda _: None)
        layers, solver = ledger.layers(), Here(base)
        spent = seconds(lambda: sum(1 for _ in solver.solve("gradient", layers)))
    return Work(
        "solve",
        work.product_flops(wiring, 2 * RANK),
        work.solve_bytes(wiring, 2 * RANK),
        spent,
        work.decomposition_flops(wiring),
    )


def _tuning(device: str, tiny: bool) -> Iterator[Work]:
    """One step of our trainer, text encoder and optimizer included."""
    with tempfile.TemporaryDirectory() as folder:
        tuned = trainer(Path(folder), device, tiny)
        numbers = iter(range(10_000))
        parts = [tuned.base.denoiser, *(each.module for each in tuned.base.text_encoders)]
        step = _counted(
            "tune_step",
            lambda: tuned.step(next(numbers)),
            parts,
            2 if tiny else 20,
            there_and_back=2,
        )
        yield step


def _regions(device: str, tiny: bool) -> Iterator[Work]:
    """One denoising step of a guided picture with three regions."""
    base = hosted(sd15(device, TINY if tiny else FULL))
    settle_to_draw(base, device, say)
    model, steps = Model(base), 3 if tiny else 20
    draw = partial(model, "friends on the beach", regions=side_by_side(REGIONS), steps=steps)
    draw()  # unmeasured: kernels are chosen
    spent = _between_steps(draw, _now)
    with FlopCounterMode(display=False) as counter:
        flops = _between_steps(draw, lambda: float(counter.get_total_flops()))
    with traffic([base.denoiser]) as moved:
        passed = _between_steps(draw, lambda: moved[0])
    yield Work("region_step", flops, passed, spent)


def _now() -> float:
    wait()
    return time.perf_counter()


def _between_steps(draw: Callable[..., object], value: Callable[[], float]) -> float:
    """By how much a value grows in a step, median of all but the first."""
    seen: list[float] = []
    draw(on_step=lambda _done, _all: seen.append(value()))
    return median(after - before for before, after in zip(seen, seen[1:], strict=False))


def _counted(
    name: str,
    once: Callable[[], object],
    parts: list[nn.Module],
    repeats: int,
    there_and_back: int = 1,
) -> Work:
    """What torch counts of it and what the parts' layers move, then median seconds."""
    with FlopCounterMode(display=False) as counter, traffic(parts) as moved:
        once()
    flops = float(counter.get_total_flops())
    return Work(name, flops, there_and_back * moved[0], median_seconds(once, repeats))


@contextmanager
def traffic(parts: list[nn.Module]) -> Iterator[list[float]]:
    """One number that grows, within the block, by what linear layers and convolutions read and write."""
    moved = [0.0]

    def add(layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        tensors = (args[0], output, *layer.parameters(recurse=False))
        moved[0] += sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    layers = [m for part in parts for m in part.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    handles = [layer.register_forward_hook(add) for layer in layers]
    try:
        yield moved
    finally:
        for handle in handles:
            handle.remove()
