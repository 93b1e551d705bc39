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
    words_of,
    write_concept,
)
from fedshow.errors import FedshowError
from fedshow.families import Base, open_base
from fedshow.sampling.model import Model
from fedshow_client.tuning.captions import caption_for
from fedshow_client.tuning.checkpoint import Progress, load_checkpoint, save_checkpoint
from fedshow_client.tuning.images import ImageFolder, scan
from fedshow_client.tuning.latents import cache_latents
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
    recipe = Recipe.for_base(base, **request.recipe)
    model = Model(base)
    trainer = _prepare(request, folder, base, model, recipe)
    run = _run_id(request, recipe, folder, base)
    if not request.resume:
        (request.work / "checkpoint.safetensors").unlink(missing_ok=True)
    progress = load_checkpoint(request.work, run, trainer.parameters(), trainer.optimizer)
    _run_to_the_end(request, trainer, progress, run, report)
    header = _header(request, base, recipe, progress)
    tensors = {key: value.detach().half() for key, value in trainer.parameters().items()}
    return write_concept(request.out, header, tensors)


def _prepare(
    request: TuneRequest, folder: ImageFolder, base: Base, model: Model, recipe: Recipe
) -> Trainer:
    class_row = model.tokens.class_row(request.class_word)
    captions = [caption_for(request.name, request.class_word, c.caption) for c in folder.accepted]
    latents = cache_latents(base, folder.accepted, recipe)
    subject = Subject(request.name, words_of(request.name), captions, latents)
    return Trainer(base, subject, class_row, model, recipe)


def _run_to_the_end(
    request: TuneRequest, trainer: Trainer, progress: Progress, run: str, report: Report
) -> None:
    def save() -> None:
        save_checkpoint(request.work, run, trainer.parameters(), trainer.optimizer, progress)

    def after_step(now: Progress, steps: int) -> None:
        if now.step % request.checkpoint_steps == 0:
            save()
        report(now, steps)

    with _on_sigterm() as stop:
        trainer.run(progress, after_step, stop)
    save()
    if progress.step < trainer.recipe.steps:
        raise Stopped(
            f"stopped at step {progress.step} of {trainer.recipe.steps}; run again to go on"
        )


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
    found = sha256(json.dumps([request.name, request.class_word, base.card.sha256]).encode())
    found.update(recipe.model_dump_json().encode())
    for image in folder.accepted:
        found.update(image.path.read_bytes())
        found.update(repr(image.caption).encode())
        found.update(image.mask.read_bytes() if image.mask else b"")
    return found.hexdigest()


def _header(request: TuneRequest, base: Base, recipe: Recipe, progress: Progress) -> ConceptHeader:
    tail = progress.losses[-50:]
    return ConceptHeader(
        family=base.card.family,
        base=base.card.ref,
        name=request.name,
        class_word=request.class_word,
        words=words_of(request.name),
        slots=base.card.slots,
        rank=recipe.rank,
        alpha=recipe.alpha,
        recipe=recipe.model_dump(exclude={"rank", "alpha"}),
        metrics={"loss": round(sum(tail) / len(tail), 5), "steps": progress.step},
        created=datetime.now(UTC).replace(microsecond=0),
        fedshow=__version__,
    )
