"""Looking at a run while it learns: pictures, scores, and the weights of the best look."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from torch import Tensor

from fedshow.sampling.model import Model
from fedshow.scoring.alignment import image_alignment
from fedshow.scoring.scorers import Scorer, reference_features
from fedshow_client.tuning.checkpoint import Progress
from fedshow_client.tuning.data.folder import Candidate
from fedshow_client.tuning.memory import is_out_of_memory
from fedshow_client.tuning.placing import all_there
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.watching.events import Events
from fedshow_client.tuning.watching.keeping import Keeper
from fedshow_client.tuning.watching.looks import (
    History,
    Look,
    best,
    load_history,
    looks_since_best,
)
from fedshow_client.tuning.watching.sample_files import FOLDER_NAME, prompts_for
from fedshow_client.tuning.watching.samples import (
    Sample,
    SampleFolder,
    cost_in_steps,
    draw_samples,
)
from fedshow_client.tuning.watching.settings import SCALES, WatchSettings

log = logging.getLogger(__name__)
Tensors = Callable[[], Mapping[str, Tensor]]


class Watch:
    """The looks of one run.

    What it knows lies in the run's work folder, so a run that is killed and continued finds the
    same best look. Pictures and the report are extras: a full disk or memory loses them, with a
    warning, never the run.
    """

    def __init__(
        self,
        model: Model,
        *,
        name: str,
        class_word: str,
        images: Sequence[Candidate],
        work: Path,
        recipe: Recipe,
        settings: WatchSettings,
        scorer: Scorer | None,
    ) -> None:
        self.model, self.name, self.class_word = model, name, class_word
        self.images, self.work, self.recipe = images, work, recipe
        self.settings, self.scorer = settings, scorer
        self.interval = settings.interval(recipe, cost_in_steps(model, recipe))
        self.history = History("")
        self.folder = SampleFolder(work / FOLDER_NAME)
        self.keeper = Keeper(work)
        self.events: Events | None = None
        self.reference: Tensor | None = None
        """The private pictures' features `[M, D]`; they stay in memory."""

        if scorer and self.interval:
            self.reference = reference_features(scorer, (image.load() for image in images))

    def resume(self, run: str, progress: Progress) -> None:
        """Finds the looks that the run `run` has had up to where it goes on."""
        measured = self.scorer.name if self.scorer else "nothing"
        self.history = load_history(self.work, f"{run} {measured}", progress.step)
        if self.settings.tensorboard is not None:
            self.events = Events(self.settings.tensorboard, progress.step)

    def note(self, progress: Progress) -> None:
        """Hears of every step."""
        self._tell_events(lambda events: events.step(progress))

    def due(self, step: int) -> bool:
        """Whether there is a look after this step; the last step has one when any has."""
        return bool(self.interval) and (step % self.interval == 0 or step == self.recipe.steps)

    def look(self, progress: Progress, tensors: Tensors) -> None:
        """Draws, measures, and keeps the weights when they are the best so far.

        A checkpoint of the same step must follow, because what was kept before that goes away then.
        """
        try:
            with all_there(self.model.base):
                samples = draw_samples(self.model, self.name)
            look = self._measure(progress.step, samples)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            log.warning("no memory for pictures at step %s: no more in this run", progress.step)
            self.interval = 0
            return
        before = self.kept
        self.history.looks.append(look)
        with self._or_warn("pictures"):
            self.folder.save(progress.step, samples)
        with self._or_warn("the best weights"):
            if self.kept == progress.step != self.recipe.steps:
                self.keeper.save(progress.step, tensors(), before)
            self.history.save(self.work)
        self._tell_events(lambda events: events.look(look, samples))

    def _measure(self, step: int, samples: Sequence[Sample]) -> Look:
        if self.scorer is None or self.reference is None:
            return Look(step)
        images = [sample.image for sample in samples]
        identity = image_alignment(self.scorer.features(images), self.reference)
        texts = prompts_for(self.class_word) * len(SCALES)
        text = self.scorer.text_scores(images, texts)
        return Look(step, _per_scale(identity), [] if text is None else _per_scale(text))

    @property
    def kept(self) -> int | None:
        """The step of the best look; None when no look was scored or the last step is wanted."""
        found = best(self.history.looks) if self.settings.keep_best else None
        return found.step if found else None

    def wants_stop(self) -> bool:
        """Whether the scores have fallen for as many looks as the settings are patient."""
        patience = self.settings.patience
        return bool(patience) and looks_since_best(self.history.looks) >= patience

    def best(self, progress: Progress) -> dict[str, Tensor] | None:
        """The weights of the best look; None when they are those of the last step."""
        kept = self.kept
        if kept is None or kept == progress.step:
            return None
        tensors = self.keeper.load(kept)
        if tensors is None:
            log.warning("the weights of step %s are lost; the last step's are used", kept)
            self.settings = replace(self.settings, keep_best=False)
        return tensors

    def metrics(self, progress: Progress) -> dict[str, int | float]:
        """For the concept file's header: the step whose weights it has, and their scores."""
        kept = self.kept or progress.step
        found: dict[str, int | float] = {"kept_step": kept}
        look = next((look for look in self.history.looks if look.step == kept), None)
        if look and look.identity:
            found["identity"] = round(fmean(look.identity[-1]), 4)
            found["identity_embedding"] = round(fmean(look.identity[0]), 4)
        if look and look.text:
            found["text"] = round(fmean(look.text[-1]), 4)
        return found

    def close(self) -> None:
        """All events are written."""
        self._tell_events(Events.close)

    def _tell_events(self, tell: Callable[[Events], None]) -> None:
        if (events := self.events) is None:
            return
        self.events = None  # unless it can be told: one warning is enough
        with self._or_warn("TensorBoard's events"):
            tell(events)
            self.events = events

    @contextmanager
    def _or_warn(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            log.warning("%s cannot be written (%s); tuning goes on", what, error.strerror or error)


def _per_scale(scores_N: Tensor) -> list[list[float]]:
    rows: list[list[float]] = scores_N.double().view(len(SCALES), -1).tolist()
    return rows
