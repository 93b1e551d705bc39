"""`fedshow tune` without the command line: images in, concept file out."""

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor

from fedshow import __version__
from fedshow.concepts import (
    ConceptFile,
    ConceptHeader,
    check_class,
    check_name,
    write_concept,
)
from fedshow.edlora.adapters import Adapters
from fedshow.edlora.methods import method_named
from fedshow.errors import BaseMismatch, FedshowError, InvalidInput
from fedshow.families import Base, open_base
from fedshow.sampling.model import Model
from fedshow.saying import Say
from fedshow_client.job_folder import report_beside
from fedshow_client.tuning.checkpoint import (
    FILE_NAME,
    Progress,
    State,
    load_checkpoint,
    save_checkpoint,
)
from fedshow_client.tuning.data.folder import ImageFolder, fingerprint, scan
from fedshow_client.tuning.data.words import check_words
from fedshow_client.tuning.leakage.estimate import estimate
from fedshow_client.tuning.leakage.verdict import Leakage, TooMuchLeakage, too_much
from fedshow_client.tuning.memory import clear_about_memory
from fedshow_client.tuning.placing import all_there
from fedshow_client.tuning.preparing import Lesson, prepare
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.trainer import Report, Trainer
from fedshow_client.tuning.watching.report import write_report
from fedshow_client.tuning.watching.scorers import scorer_for
from fedshow_client.tuning.watching.settings import WatchSettings
from fedshow_client.tuning.watching.watch import Watch


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
    base_sha256: str = ""
    """The only fingerprint that the base may have; empty: any."""

    method: str = "ed-lora"
    device: str = "cpu"
    resume: bool = True
    checkpoint_steps: int = 50
    recipe: dict[str, Any] = field(default_factory=dict)
    """Changes to the base's recipe."""

    watch: WatchSettings = field(default_factory=WatchSettings)
    leakage: bool = True
    """Whether to estimate what the concept gives back of single pictures."""

    max_leakage: float = 1.0
    """Above it, `tune` says so with an error; the file is there all the same."""

    def check(self) -> None:
        """Raises InvalidInput for what is asked for and cannot be had, before any work."""
        self.watch.check()
        if not self.leakage and self.max_leakage < 1:
            raise InvalidInput(f"max_leakage {self.max_leakage:g} needs the estimate: leave it on")

    def check_base(self, found: Base) -> None:
        """Raises BaseMismatch when the base that was opened is not the one that is wanted."""
        if self.base_sha256 and self.base_sha256 != found.card.sha256:
            raise BaseMismatch(
                f"base {self.base!r} has fingerprint {found.card.sha256[:12]}, "
                f"wanted is {self.base_sha256[:12]}"
            )

    @property
    def report(self) -> Path:
        """The page about the run, next to the concept file."""
        return report_beside(self.out)


def tune(
    request: TuneRequest,
    report: Report = lambda *_: None,
    hear: Callable[[Leakage], None] = lambda _: None,
    say: Say = lambda _: None,
) -> ConceptFile:
    """Tunes one concept and writes its file; continues from the checkpoint when there is one.

    `hear` is told what the concept gives back of the private pictures, `say` how the base fits on a card.
    Raises InvalidInput for unusable images, captions, names, classes, settings and bases, Exhausted for a
    card that others have filled, Stopped after SIGTERM, TooMuchLeakage, with the file in place, when it is
    above the request's limit.
    """
    check_name(request.name)
    check_class(request.class_word)
    request.check()
    base = open_base(request.base)
    request.check_base(base)
    folder = scan(request.images, base.sample_pixels)
    words = method_named(request.method).words
    check_words(request.base, request.name, request.class_word, folder.accepted, len(words))
    scorer = scorer_for(base, request.watch, request.device)
    recipe = Recipe.for_base(base, request.method, **request.recipe)
    trainer = prepare(base, _lesson(request, folder, recipe), request.device, say)
    watch = Watch(
        trainer.model,
        name=request.name,
        class_word=request.class_word,
        images=folder.accepted,
        work=request.work,
        recipe=recipe,
        settings=request.watch,
        scorer=scorer,
    )
    run = _Run(request, trainer, watch, _run_id(request, recipe, folder, base))
    progress = run.to_the_end(report)
    best = watch.best(progress) or trainer.concept_tensors()
    tensors = {key: value.half() for key, value in best.items()}
    found = watch.metrics(progress)
    leakage = run.leakage(tensors, progress) if request.leakage else None
    if leakage:
        found |= leakage.metrics
        hear(leakage)
    concept = write_concept(request.out, _header(request, base, trainer, progress, found), tensors)
    run.tell(progress, [str(leakage)] if leakage else [])
    if refusal := too_much(found, request.max_leakage):
        raise TooMuchLeakage(f"{refusal}; do not share {request.out}")
    return concept


def _lesson(request: TuneRequest, folder: ImageFolder, recipe: Recipe) -> Lesson:
    return Lesson(
        request.name,
        request.class_word,
        folder.accepted,
        recipe,
        request.method,
        request.work,
        draws=request.watch.samples or request.leakage,
    )


class _Run:
    """A trainer with its checkpoint and whoever watches it."""

    def __init__(self, request: TuneRequest, trainer: Trainer, watch: Watch, run: str) -> None:
        self.request, self.trainer, self.watch, self.run = request, trainer, watch, run
        averages = trainer.average.shadow
        self.state = State(trainer.parameters(), trainer.optimizer, averages)

    def to_the_end(self, report: Report) -> Progress:
        """From the checkpoint, if there is one, to the last step; raises Stopped after SIGTERM."""
        work, every = self.request.work, self.request.checkpoint_steps
        if not self.request.resume:
            (work / FILE_NAME).unlink(missing_ok=True)
        progress = load_checkpoint(work, self.run, self.state)
        self.watch.resume(self.run, progress)

        def after_step(now: Progress, steps: int) -> None:
            self.watch.note(now)
            if looked := self.watch.due(now.step):
                self._look(now)
            if looked or now.step % every == 0:
                save_checkpoint(work, self.run, self.state, now)
            report(now, steps)

        with _on_sigterm() as asked, clear_about_memory(progress):
            self.trainer.run(progress, after_step, lambda: asked() or self.watch.wants_stop())
        save_checkpoint(work, self.run, self.state, progress)
        self.watch.close()
        if progress.step < (steps := self.trainer.recipe.steps) and not self.watch.wants_stop():
            raise Stopped(f"stopped at step {progress.step} of {steps}; run again to go on")
        return progress

    def _look(self, now: Progress) -> None:
        """Looks at what the concept file would get now."""
        with self.trainer.average.in_place():
            self.watch.look(now, self.trainer.concept_tensors)
        self.tell(now)

    def leakage(self, tensors: dict[str, Tensor], progress: Progress) -> Leakage:
        """What these tensors give back of the private pictures; the trainer's model is of no use after it."""
        trainer = self.trainer
        trainer.model.restore()
        model = Model(trainer.base)
        model.tokens.load_concept(trainer.subject.name, trainer.words, tensors)
        model.add_adapters(Adapters.from_tensors(tensors, trainer.adapters.scale))
        with clear_about_memory(progress), all_there(trainer.base):
            return estimate(model, trainer.subject, trainer.objective, trainer.recipe.seed)

    def tell(self, now: Progress, remarks: Sequence[str] = ()) -> None:
        """Writes the page about the run so far."""
        base, method = self.trainer.base.card, self.trainer.method
        about = {"base": base.name, "base_sha256": base.sha256[:16], "method": method.name}
        write_report(self.request.report, self.watch, now, about, remarks)


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
    facts = [request.name, request.class_word, request.method, base.card.sha256]
    facts += [recipe.model_dump_json(), fingerprint(folder.accepted)]
    return sha256(json.dumps(facts).encode()).hexdigest()


def _header(
    request: TuneRequest,
    base: Base,
    trainer: Trainer,
    progress: Progress,
    found: dict[str, int | float],
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
        metrics={"loss": round(sum(tail) / len(tail), 5), "steps": progress.step, **found},
        created=datetime.now(UTC).replace(microsecond=0),
        fedshow=__version__,
    )
