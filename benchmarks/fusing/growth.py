"""A hundred concepts, one after another, and a thousand by the solver alone: what the last one costs.

The concepts are synthetic adapters of toyworld's layers with statistics that nobody had to draw: recording
costs every concept the same, so that with it growth would look smaller than it is.
"""

import random
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch
from torch import Tensor

from fedshow.families import open_base
from fedshow_server.fusion.ledger import Ledger, open_ledger
from fedshow_server.fusion.rules.gradient import gradient_fusion
from fedshow_server.fusion.statistics import Seen, Statistics
from fedshow_server.fusion.sums import InputSums, Layer, LayerSums, Part
from fedshow_server.fusion.update import smallest
from fedshow_server.fusion.wiring import Wiring

CLASSES = ("kitten", "monster", "robot", "bunny", "chick")
RANK, INPUTS = 4, 64
EARLY, LATE = range(4, 7), range(98, 101)
"""Additions whose median stands for the 5th and for the 100th."""

CHANGES = 20


def toyworld() -> Wiring:
    """The layers of the embedded base."""
    base = open_base("toyworld")
    return Wiring.of(base.card, base.family)


def synthetic(number: int, wiring: Wiring) -> Statistics:
    """A random concept, always the same one for a number."""
    generator = torch.Generator().manual_seed(number)
    adapters = {
        layer: (
            torch.randn(RANK, width_in, generator=generator) * 0.1,
            torch.randn(width_out, RANK, generator=generator) * 0.1,
        )
        for layer, (width_in, width_out) in wiring.layers.items()
    }
    letters = "".join(chr(ord("a") + int(digit)) for digit in f"{number:04d}")
    return Statistics(
        name=f"synthetic-{letters}",
        class_word=CLASSES[number % len(CLASSES)],
        sha256=sha256(str(number).encode()).hexdigest(),
        base_sha256=wiring.base_sha256,
        scale=1.0,
        adapters=adapters,
        seen=seen(wiring, generator),
    )


def seen(wiring: Wiring, generator: torch.Generator) -> Seen:
    """Moments of inputs half of which are alike for everybody."""
    fit, heldout = ({n: _moment(n, wiring, generator) for n in wiring.readers} for _ in range(2))
    return Seen(fit, heldout, dict.fromkeys(wiring.sides, 1.0))


def _moment(name: str, wiring: Wiring, generator: torch.Generator) -> Tensor:
    width = wiring.width(name)
    own = torch.randn(INPUTS, width, generator=generator)
    alike = torch.randn(INPUTS, width, generator=torch.Generator().manual_seed(width))
    inputs = torch.cat([own, alike]).double()
    return inputs.T @ inputs / len(inputs)


def fuse_all(ledger: Ledger) -> Iterator[tuple[str, Tensor]]:
    """Every layer's update as a release would hold it."""
    for layer in ledger.layers():
        delta_OI = gradient_fusion(layer).delta_OI
        yield layer.name, smallest(delta_OI, layer.parts(moments=False)).delta_OI


def begin(ledger: Ledger, wiring: Wiring) -> None:
    """The base's own statistics."""
    for number, word in enumerate(("", *CLASSES)):
        generator = torch.Generator().manual_seed(10_000 + number)
        ledger.add_generic(word, seen(wiring, generator))


def additions(count: int = LATE.stop - 1) -> dict[str, Any]:
    """Seconds and resident memory of each addition: statistics kept, summed, solved for a release."""
    wiring, process = toyworld(), psutil.Process()
    seconds, megabytes = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        open_ledger(Path(folder), wiring, "synthetic") as ledger,
    ):
        begin(ledger, wiring)
        for number in range(1, count + 1):
            statistics = synthetic(number, wiring)
            started = time.perf_counter()
            ledger.add(statistics)
            for _ in fuse_all(ledger):
                pass
            seconds.append(time.perf_counter() - started)
            megabytes.append(process.memory_info().rss / 2**20)
    return {"seconds": seconds, "megabytes": megabytes}


def growth(found: dict[str, Any]) -> dict[str, float]:
    """The 100th addition over the 5th: time, each with its neighbours, and memory, the most until then."""
    seconds, megabytes = found["seconds"], found["megabytes"]
    early, late = (median(seconds[k - 1] for k in ks) for ks in (EARLY, LATE))
    return {
        "add_100_over_5": late / early,
        "memory_100_over_5": max(megabytes) / max(megabytes[: EARLY[1]]),
    }


def removals() -> dict[str, Any]:
    """Random concepts come and go; the fusion of what is left against one that never saw the others."""
    wiring, rng = toyworld(), random.Random(0)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_ledger(Path(folder) / "used", wiring, "synthetic") as used,
        open_ledger(Path(folder) / "fresh", wiring, "synthetic") as fresh,
    ):
        begin(used, wiring)
        begin(fresh, wiring)
        there: dict[str, int] = {}
        receipts = []
        for number in range(CHANGES):
            if len(there) > 2 and rng.random() < 0.5:
                name = rng.choice(sorted(there))
                receipts.append(used.remove(name, lambda x: gradient_fusion(x).delta_OI))
                del there[name]
            else:
                statistics = synthetic(number, wiring)
                used.add(statistics)
                there[statistics.name] = number
            list(fuse_all(used))
        for number in there.values():
            fresh.add(synthetic(number, wiring))
        pairs = zip(fuse_all(used), fuse_all(fresh), strict=True)
        largest = max(float((a - b).norm() / b.norm()) for (_, a), (_, b) in pairs)
    return {
        "remove_error_max": max(largest, *(r.largest_difference for r in receipts)),
        "removals": len(receipts),
        "left": len(there),
    }


def thousand(width: int = 128, count: int = 1000) -> dict[str, Any]:
    """One layer, a concept more each time, by the solver alone: seconds for sums and solution."""
    seconds = []
    sums = LayerSums.zeros(width, width)
    fit_II = heldout_II = torch.zeros(width, width, dtype=torch.float64)
    generic_II = _random_moment(width, torch.Generator().manual_seed(0))
    for number in range(1, count + 1):
        part = _random_part(width, number)
        started = time.perf_counter()
        assert part.fit_II is not None
        assert part.heldout_II is not None
        sums = sums.plus(part, 1.0)
        fit_II, heldout_II = fit_II + part.fit_II, heldout_II + part.heldout_II
        reads = InputSums(fit_II, heldout_II, generic_II, generic_II, float(number), number)
        gradient_fusion(Layer("unet.layer", "unet.input", reads, sums, _no_parts, given=1.0))
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds, "over_5": median(seconds[-3:]) / median(seconds[3:6])}


def _no_parts(moments: bool = True) -> Iterator[Part]:  # noqa: ARG001
    """The solver works with sums alone."""
    return iter(())


def _random_part(width: int, number: int) -> Part:
    generator = torch.Generator().manual_seed(number)
    down_RI = torch.randn(RANK, width, generator=generator, dtype=torch.float64) * 0.1
    up_OR = torch.randn(width, RANK, generator=generator, dtype=torch.float64) * 0.1
    moments = (_random_moment(width, generator) for _ in range(2))
    return Part(down_RI, up_OR, 1.0, *moments)


def _random_moment(width: int, generator: torch.Generator) -> Tensor:
    inputs = torch.randn(2 * width, width, generator=generator, dtype=torch.float64)
    return inputs.T @ inputs / len(inputs)
