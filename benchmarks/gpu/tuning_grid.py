"""Tuning at SD 1.5's size, setting by setting: batch 1, 4 and 8, latents cached or encoded at every step,
activations kept or computed twice, the U-Net compiled or not, the plain loop beside them; where time goes.
"""

import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.gpu.profiling import profile
from benchmarks.gpu.sampling import compiled
from benchmarks.private_folder import candidates
from benchmarks.timing import card_gigabytes, peak_megabytes, seconds
from benchmarks.tuning.loops import Step, our_trainer, plain_loop
from benchmarks.tuning.sd15 import FLAT, FULL, hosted, photos, sd15
from fedshow.errors import FedshowError
from fedshow.families import Base
from fedshow_client.tuning.attention import Maps, attending
from fedshow_client.tuning.data.folder import Candidate
from fedshow_client.tuning.data.latents import encode_all
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.trainer import Trainer

Figures = dict[str, Any]
BATCHES = (4, 1, 8)
"""The default first: a machine may be lent for minutes."""

VARIANTS = 2
"""Augmented versions of each picture that are cached; how many does not change a step."""

COMPILE_BEFORE_SECONDS = 180
"""Of the part: a compilation that begins later would not end in time."""

FAILURES = (RuntimeError, MemoryError, FedshowError)
"""Out of memory on card and host, graphs that break, what the compiler cannot do."""


def measure(device: str, tiny: bool, files: Path | None = None) -> Iterator[Figures]:
    """`tune_bBATCH_SETTING_seconds` of a step and `…_gigabytes`, or `…_failed` with the reason.

    The table of operations lands in `files`, too.
    """
    with tempfile.TemporaryDirectory() as work:
        yield from _Grid(device, tiny, Path(work), files, time.monotonic()).figures()


@dataclass(frozen=True)
class _Grid:
    """Where it is measured, and since when."""

    device: str
    tiny: bool
    work: Path
    files: Path | None
    started: float

    def figures(self) -> Iterator[Figures]:
        """Of every setting as soon as it is measured, the slow ones to prepare last."""
        base = hosted(sd15(self.device, self._sizes))
        for batch in BATCHES:
            with self._trainer(base, batch) as tuned:
                yield from self._eager(tuned)
                if batch == BATCHES[0]:
                    yield profile(tuned.step, self.device, 1 if self.tiny else 3, self.files)
        for batch in BATCHES:
            yield self._plain(batch)
        for batch in BATCHES[:1] if self.tiny else BATCHES:
            yield self._compiled(base, batch)

    @contextmanager
    def _trainer(self, base: Base, batch: int) -> Iterator[Trainer]:
        """Ours within the block, on the device; then the base is as it was, in host memory."""
        recipe = Recipe(batch=batch, variants=VARIANTS)
        tuned = our_trainer(base, self._someone, self._images, recipe, device=self.device)
        tuned.exact = False  # as on a card with 16-bit weights: adapters are hooks, never folded
        try:
            yield tuned
        finally:
            hosted(tuned.model.restore())

    def _eager(self, tuned: Trainer) -> Iterator[Figures]:
        """With and without cached latents, with activations kept and computed twice."""
        steps = {"cached": tuned.step, "uncached": uncached(tuned, self._images)}
        for twice, (name, step) in product((False, True), steps.items()):
            with recomputing(tuned.base.denoiser) if twice else nullcontext():
                words = f"{name}_checkpointed" if twice else name
                yield self._measured(f"b{tuned.recipe.batch}_{words}", partial(_same, step))

    def _plain(self, batch: int) -> Figures:
        """The plain loop, on a card in mixed precision; it caches nothing."""

        def make() -> Step:
            base = sd15(self.device, self._sizes)
            return plain_loop(base, self._someone, self._images, Recipe(batch=batch)).step

        return self._measured(f"b{batch}_plain", make)

    def _compiled(self, base: Base, batch: int) -> Figures:
        """The U-Net in one graph; without time left, that is said instead."""
        name = f"b{batch}_cached_compiled"
        if time.monotonic() - self.started > COMPILE_BEFORE_SECONDS:
            return {f"tune_{name}_failed": "no time left in this part"}
        backend = "inductor" if self.device == "cuda" else "eager"
        whole = {"backend": backend, "fullgraph": True, "dynamic": False}
        with (
            self._trainer(base, batch) as tuned,
            compiled(tuned.base.denoiser, **whole),  # it fails where the graph would break
            steady_attention(),
        ):
            return self._measured(name, partial(_same, tuned.step))

    def _measured(self, name: str, make: Callable[[], Step]) -> Figures:
        """Median seconds of a step, after two of which the first is told apart; the most memory of all."""
        release()
        try:
            step = make()
            first = seconds(partial(step, 0))
            step(1)
            spent = [seconds(partial(step, 2 + number)) for number in range(self._repeats)]
        except FAILURES as error:
            return {f"tune_{name}_failed": f"{type(error).__name__}: {error}"[:500]}
        return {
            f"tune_{name}_seconds": median(spent),
            f"tune_{name}_first_seconds": first,
            f"tune_{name}_gigabytes": self._gigabytes(),
        }

    def _gigabytes(self) -> float:
        if self.device == "cuda":
            return card_gigabytes()
        return peak_megabytes() / 1024

    @property
    def _sizes(self) -> dict[str, Any]:
        return FLAT if self.tiny else FULL

    @property
    def _repeats(self) -> int:
        return 1 if self.tiny else 10

    @property
    def _someone(self) -> Any:
        return photos(self.work, self._sizes["picture_edge"])

    @property
    def _images(self) -> list[Candidate]:
        return candidates(self._someone, captions=False)


def _same(step: Step) -> Step:
    return step


def uncached(tuned: Trainer, images: Sequence[Candidate]) -> Step:
    """Our step, before which its pictures are opened, cropped and encoded anew, as the cache was made."""
    recipe = tuned.recipe.model_copy(update={"variants": 1})

    def step(index: int) -> float:
        batch = tuned.schedule.at(index)
        picked = [images[batch.bucket.images[row]] for row in batch.rows.tolist()]
        encode_all(tuned.base, picked, recipe, seed=index)
        return tuned.step(index)

    return step


@contextmanager
def recomputing(denoiser: Any) -> Iterator[None]:
    """Within the block activations are computed twice instead of kept."""
    denoiser.enable_gradient_checkpointing()
    try:
        yield
    finally:
        denoiser.disable_gradient_checkpointing()


@contextmanager
def steady_attention() -> Iterator[None]:
    """Within the block attention stays as the trainer's first step sets it up.

    The trainer sets it up anew at each step, and so would everything be compiled anew at each.
    """
    kept: list[Maps] = []

    @contextmanager
    def same(*layers: Any, **options: Any) -> Iterator[Maps]:
        if not kept:
            kept.append(stack.enter_context(attending(*layers, **options)))
        (maps,) = kept
        maps.closed = False
        yield maps
        maps.clear()

    with ExitStack() as stack, patch("fedshow_client.tuning.trainer.attending", same):
        yield


def release() -> None:
    """Gives back what no setting holds any more, and counts the card's memory from here."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
