"""`fedshow tune` without the command line: images in, concept file out."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from fedshow import __version__
from fedshow.concepts import (
    ConceptFile,
    ConceptHeader,
    check_class,
    check_name,
    write_concept,
)
from fedshow.edlora.methods import method_named
from fedshow.errors import FedshowError
from fedshow.families import Base, open_base
from fedshow.sampling.model import Model
from fedshow_client.tuning.checkpoint import (
    FILE_NAME,
    Progress,
    State,
    load_checkpoint,
    save_checkpoint,
)
from fedshow_client.tuning.data.captions import Captions
from fedshow_client.tuning.data.folder import ImageFolder, scan
from fedshow_client.tuning.data.latents import cache_latents
from fedshow_client.tuning.memory import clear_about_memory, narrow, recompute_if_needed
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.trainer import Report, Subject, Trainer


class Stopped(FedshowError):
    """Tuning was asked to stop; the checkpoint continues it."""


@dataclass(frozen=True)
class TuneRequest:
    """What to teach, from what, and where the result goes."""

    images: Path
    name: str
    class_word: str
    out: Path
    work: Path
    """Folder of the checkpoint; a run started again there continues."""

    base: str = "toyworld"
    method: str = "ed-lora"
    device: str = "cpu"
    resume: bool = True
    checkpoint_steps: int = 50
    recipe: dict[str, Any] = field(default_factory=dict)
    """Changes to the base's recipe."""


def tune(request: TuneRequest, report: Report = lambda *_: None) -> ConceptFile:
    """Tunes one concept and writes its file; continues from the checkpoint when there is one.

    Raises InvalidInput for unusable images, names, classes and settings, Stopped after SIGTERM.
    """
    check_name(request.name)
    check_class(request.class_word)
    folder = scan(request.images)
    base = open_base(request.base, request.device)
    recipe = Recipe.for_base(base, request.method, **request.recipe)
    trainer = _prepare(request, folder, base, recipe)
    run = _Run(request, trainer, _run_id(request, recipe, folder, base))
    progress = run.to_the_end(report)
    header = _header(request, base, trainer, progress)
    tensors = {key: value.half() for key, value in trainer.concept_tensors().items()}
    return write_concept(request.out, header, tensors)


def _prepare(request: TuneRequest, folder: ImageFolder, base: Base, recipe: Recipe) -> Trainer:
    written = [image.caption for image in folder.accepted]
    captions = Captions(request.name, request.class_word, written, recipe.shuffle_captions)
    model = Model(base)
    model.tokens.class_row(request.class_word)  # refuses a class word of two tokens at once
    latents = cache_latents(base, folder.accepted, recipe, recipe.seed, request.work)
    subject = Subject(request.name, request.class_word, captions, latents)
    if base.device.type == "cuda":
        narrow(base)
    trainer = Trainer(model, subject, method_named(request.method), recipe)
    recompute_if_needed(trainer)
    return trainer


class _Run:
    """A trainer with its checkpoint."""

    def __init__(self, request: TuneRequest, trainer: Trainer, run: str) -> None:
        self.request, self.trainer, self.run = request, trainer, run
        averages = trainer.average.shadow
        self.state = State(trainer.parameters(), trainer.optimizer, averages)

    def to_the_end(self, report: Report) -> Progress:
        """From the checkpoint, if there is one, to the last step; raises Stopped after SIGTERM."""
        work, every = self.request.work, self.request.checkpoint_steps
        if not self.request.resume:
            (work / FILE_NAME).unlink(missing_ok=True)
        progress = load_checkpoint(work, self.run, self.state)

        def after_step(now: Progress, steps: int) -> None:
            if now.step % every == 0:
                save_checkpoint(work, self.run, self.state, now)
            report(now, steps)

        with _on_sigterm() as stop, clear_about_memory(progress):
            self.trainer.run(progress, after_step, stop)
        save_checkpoint(work, self.run, self.state, progress)
        if progress.step < (steps := self.trainer.recipe.steps):
            raise Stopped(f"stopped at step {progress.step} of {steps}; run again to go on")
        return progress


@contextmanager
def _on_sigterm() -> Iterator[Callable[[], bool]]:
    """Within the block SIGTERM only asks to stop, between two steps."""
    asked: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGTERM, before)


def _run_id(request: TuneRequest, recipe: Recipe, folder: ImageFolder, base: Base) -> str:
    """Digest of everything that decides the result, so that a checkpoint never meets other data."""
    found = sha256(
        json.dumps([request.name, request.class_word, request.method, base.card.sha256]).encode()
    )
    found.update(recipe.model_dump_json().encode())
    for image in folder.accepted:
        found.update(image.path.read_bytes())
        found.update(repr(image.caption).encode())
        found.update(image.mask.read_bytes() if image.mask else b"")
    return found.hexdigest()


def _header(
    request: TuneRequest, base: Base, trainer: Trainer, progress: Progress
) -> ConceptHeader:
    recipe = trainer.recipe
    tail = progress.losses[-50:]
    return ConceptHeader(
        family=base.card.family,
        base=base.card.ref,
        name=request.name,
        class_word=request.class_word,
        words=trainer.words,
        slots=base.card.slots,
        method=trainer.method.name,
        rank=recipe.rank,
        alpha=recipe.alpha,
        recipe=recipe.model_dump(exclude={"rank", "alpha"}),
        metrics={"loss": round(sum(tail) / len(tail), 5), "steps": progress.step},
        created=datetime.now(UTC).replace(microsecond=0),
        fedshow=__version__,
    )
