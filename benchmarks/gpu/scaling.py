"""Fusion at true size by number of concepts and rank: recording, Gram sums, solving, release, memory.

One ledger for each rank grows to 2, 5, 9, 14 and 32 concepts, and each of these sets is solved from it. What
fits neither into a part's time nor on a disk is measured in part:

- Concepts are recorded as the first part does while there is time. Those after that are drawn for one step,
  so that their moments are poor but as large, and count with the mean seconds of the others.
- `EVERY` says of how many inputs one is kept in the ledger, summed up and solved; seconds are scaled up by
  bytes, those of solving by the operations of decompositions.
"""

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from benchmarks.gpu import work
from benchmarks.gpu.families import MAKERS, megabytes
from benchmarks.gpu.fusion import LEAN, TOY, Stages, concept, device_memory, pass_seconds
from benchmarks.timing import peak_megabytes, seconds
from benchmarks.tuning.sd15 import hosted
from fedshow.commands.output import say
from fedshow.concepts import ConceptFile
from fedshow.families import Base
from fedshow.releases.loading import load_release
from fedshow.releases.writing import write_release
from fedshow_server.fusion.fuse import Fused, bring_in, ledger_of
from fedshow_server.fusion.ledger import Ledger
from fedshow_server.fusion.offline import content_of
from fedshow_server.fusion.placing import settle
from fedshow_server.fusion.recording import Plan
from fedshow_server.fusion.statistics import Seen, Statistics
from fedshow_server.fusion.update import Update
from fedshow_server.fusion.wiring import Wiring
from fedshow_server.fusion.workers import Here, Recorded, Subject, fitted

Figures = dict[str, Any]
SIZES, TINY_SIZES = (2, 5, 9, 14, 32), (1, 2)
RANKS, TINY_RANKS = (4, 32), (32,)
CLASSES = ("man",)
"""One, so that what the base reads is recorded once for any number of concepts."""

EVERY = {("sd1", 4): 1, ("sd1", 32): 3, ("sdxl", 4): 11, ("sdxl", 32): 11}
"""By family and rank. Blocks have five inputs each, SDXL's four: such strides meet every kind of them."""

DRAWING_SECONDS = {"cuda": 30.0, "cpu": 0.0}
"""For each rank, after which concepts are drawn for one step; the first one always is in full."""

THIN: dict[str, Any] = {"fit_prompts": 1, "things": 1, "texts": 8, "steps": 1}


def measure(family: str, device: str, tiny: bool) -> Iterator[Figures]:
    """`scaling_FAMILY_rRANK_nN_…` as soon as a set is solved, one rank after the other; releases last."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, growths = Path(temporary), list[Growth]()
        base, plan = _setting(family, device, tiny)
        passes: dict[int, float] = {}
        for rank in TINY_RANKS if tiny else RANKS:
            narrow = narrowed(base, EVERY[family, rank])
            sizes = TINY_SIZES if tiny else SIZES
            growths.append(Growth(base, narrow, plan, rank, sizes, folder / f"r{rank}", passes))
            for found in growths[-1].sets():
                yield _named(f"scaling_{family}_r{rank}", found)
        for found in _releases(base, growths, folder):
            yield _named(f"scaling_{family}", found)


def _named(start: str, found: Figures) -> Figures:
    return {f"{start}_{name}": value for name, value in found.items()}


def _setting(family: str, device: str, tiny: bool) -> tuple[Base, Plan]:
    """The base where it is recorded from, and how."""
    make, full, toy = MAKERS[family]
    base = hosted(make(device, toy if tiny else full))
    return base, fitted(replace(TOY, **THIN) if tiny else LEAN, settle(base, device, say))


def narrowed(base: Base, every: int) -> Base:
    """The base as if only the layers that read every so many-th input took adapters."""
    wiring = Wiring.of(base.card, base.family)
    keys = set(wiring.queries.values())
    chosen = [name for name in wiring.readers if name not in keys][::every]
    layers = {layer: wiring.layers[layer] for name in chosen for layer in wiring.readers[name]}
    return replace(base, card=base.card.model_copy(update={"layers": layers}))


class Narrowing(Stages):
    """Records everything, and gives on what concerns some inputs alone."""

    def __init__(self, base: Base, wiring: Wiring) -> None:
        super().__init__(base)
        self._wiring = wiring

    def record(self, subjects: Iterable[Subject], plan: Plan) -> Iterator[tuple[Subject, Recorded]]:
        """What `Stages` records, without the inputs and adapters of other layers."""
        for subject, found in super().record(subjects, plan):
            yield subject, self._kept(found)

    def _kept(self, found: Recorded) -> Recorded:
        if isinstance(found, Statistics):
            layers = self._wiring.layers
            own = {layer: pair for layer, pair in found.adapters.items() if layer in layers}
            return replace(found, adapters=own, seen=self._seen(found.seen))
        return self._seen(found)

    def _seen(self, found: Seen) -> Seen:
        names = self._wiring.readers
        fit, heldout = ({name: m[name] for name in names} for m in (found.fit, found.heldout))
        return Seen(fit, heldout, found.given)


@dataclass
class Growth:
    """Concepts of one rank in a ledger that grows."""

    base: Base
    narrow: Base
    """With the layers that the ledger knows."""

    plan: Plan
    rank: int
    sizes: tuple[int, ...]
    folder: Path
    """Of concept files."""

    passes: dict[int, float]
    """Seconds of a bare pass by number of prompts, as far as they are known."""

    concepts: list[ConceptFile] = field(default_factory=list)
    drawing: list[float] = field(default_factory=list)
    """Seconds of each concept that was drawn in full; `keeping`: then, until the ledger has it."""

    keeping: list[float] = field(default_factory=list)
    summing: float = 0.0
    updates: dict[int, dict[str, Update]] = field(default_factory=dict)
    """Of the smallest and the largest set."""

    def sets(self) -> Iterator[Figures]:
        """Figures of each size."""
        self.folder.mkdir()
        with ledger_of(self.narrow, self.plan, device=self.base.device) as ledger:
            yield {"record_gigabytes": work.record_bytes(self._whole) / 1e9}
            pass_seconds(self.base, self.plan, [self._concept(0, self.base)], self.passes)
            read = self._read_base(ledger)
            self._ends = time.perf_counter() + DRAWING_SECONDS[self.base.device.type]
            for size in self.sizes:
                yield _named(f"n{size}", self._grown(ledger, size, read))

    @cached_property
    def _whole(self) -> Wiring:
        return Wiring.of(self.base.card, self.base.family)

    @cached_property
    def _kept(self) -> Wiring:
        return Wiring.of(self.narrow.card, self.narrow.family)

    def _read_base(self, ledger: Ledger) -> float:
        """Seconds for what the base reads without any concept."""
        stages = Narrowing(self.base, self._kept)
        for word, found in stages.record(("", *CLASSES), self.plan):
            assert isinstance(word, str)
            assert isinstance(found, Seen)
            ledger.add_generic(word, found)
        drawing = stages.seconds["drawing"]
        return drawing + self._scale_kept(stages.seconds["recording"] - drawing)

    def _scale_kept(self, spent: float) -> float:
        return spent * work.record_bytes(self._whole) / work.record_bytes(self._kept)

    def _grown(self, ledger: Ledger, size: int, read: float) -> Figures:
        if self.base.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for number in range(len(self.concepts), size):
            self._record(ledger, number)
        recording = read + size * (fmean(self.drawing) + self._scale_kept(fmean(self.keeping)))
        sums, solve = self._solve(ledger, size)
        self.summing += sums
        passes = pass_seconds(self.base, self.plan, self.concepts, self.passes)
        whole = recording + self.summing + solve
        return {
            "recording_seconds": recording,
            "recorded_in_full": len(self.drawing),
            "record_over_passes": recording / passes,
            "sums_seconds": sums,
            "sums_gigabytes": work.sums_bytes(self._whole, size * self.rank) / 1e9,
            "solve_seconds": solve,
            "fusion_seconds": whole,
            "passes_share": passes / whole,
            "host_gigabytes": peak_megabytes() / 1024,
        } | device_memory(self.base)

    def _concept(self, number: int, base: Base) -> ConceptFile:
        return concept(self.folder, base.card, number, self.rank, CLASSES)

    def _record(self, ledger: Ledger, number: int) -> None:
        """In full while there is time; after it with few adapters and hardly drawn."""
        full = not self.drawing or time.perf_counter() < self._ends
        one = self._concept(number, self.base if full else self.narrow)
        stages = Narrowing(self.base, self._kept)
        plan = self.plan if full else replace(self.plan, **THIN)
        bring_in(ledger, self.base, [one], plan, lambda _: None, stages)
        self.concepts.append(one)
        if full:
            self.drawing.append(stages.seconds["drawing"])
            self.keeping.append(stages.seconds["recording"] - stages.seconds["drawing"])

    def _solve(self, ledger: Ledger, size: int) -> tuple[float, float]:
        """Seconds of the set's sums, made from those of the set before, and of all updates."""
        weights = {one.header.name: 1.0 for one in self.concepts}
        found: list[Any] = []
        sums = seconds(lambda: found.append(ledger.layers(weights)))
        solver, updates = Here(self.base), dict[str, Update]()
        solve = seconds(
            lambda: updates.update(
                (layer.name, update) for layer, update in solver.solve("gradient", found[0])
            )
        )
        if size in (self.sizes[0], self.sizes[-1]):
            self.updates[size] = updates
        whole, kept, rank = self._whole, self._kept, size * self.rank
        return (
            sums * work.sums_bytes(whole, rank) / work.sums_bytes(kept, rank),
            solve * work.decomposition_flops(whole) / work.decomposition_flops(kept),
        )


def _releases(base: Base, growths: list[Growth], folder: Path) -> Iterator[Figures]:
    """Of each rank's smallest and largest set: every concept is tried out on the host, but only one here, and
    the others count as long.
    """
    hosted(base).pipeline.to(dtype=torch.float16).save_pretrained(folder / "base")
    based, tried = replace(base, folder=str(folder / "base")), None
    for growth in growths:
        for size, updates in sorted(growth.updates.items(), reverse=True):
            some, out = growth.concepts[:size], folder / f"release-{growth.rank}-{size}"
            content = content_of(some, Fused(updates, {}, {}), {}, {"method": "gradient"})
            one = replace(content, headers=content.headers[:1])
            spent = seconds(partial(write_release, out, based, one))
            tried = _trial_seconds(out, some[0]) if tried is None else tried
            yield {
                f"r{growth.rank}_n{size}_release_seconds": spent + (size - 1) * tried,
                f"r{growth.rank}_n{size}_release_megabytes": megabytes(out),
                "trial_seconds": tried,
            }
            shutil.rmtree(out)


def _trial_seconds(release: Path, one: ConceptFile) -> float:
    """What it takes to try one concept out."""
    model = load_release(release)
    return seconds(lambda: model(f"photo of a <{one.header.name}>", steps=1))
