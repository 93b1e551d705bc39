"""From an opened base and images to a trainer before its first step."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedshow.edlora.methods import Method, method_named
from fedshow.families import Base
from fedshow.sampling.model import Model
from fedshow.saying import Say
from fedshow_client.tuning.data.captions import Captions
from fedshow_client.tuning.data.folder import Candidate
from fedshow_client.tuning.data.latents import cache_latents
from fedshow_client.tuning.memory import recompute_if_needed
from fedshow_client.tuning.placing import choose, job_of, place
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.trainer import Subject, Trainer


@dataclass(frozen=True)
class Lesson:
    """What is taught, by which method and recipe."""

    name: str
    class_word: str
    images: Sequence[Candidate]
    recipe: Recipe
    method: str | Method = "ed-lora"
    """By name, or one that is not among fedshow's own."""

    work: Path | None = None
    """Where latents are kept."""

    draws: bool = True
    """Whether pictures will be drawn, too."""

    @property
    def texts(self) -> int:
        """How many captions of a step differ, at most: images without words of their own say the same."""
        written = sum(image.caption is not None for image in self.images)
        unwritten = written < len(self.images)
        return min(self.recipe.batch, written + unwritten)


def prepare(
    base: Base, lesson: Lesson, device: str = "cpu", say: Say = lambda _line: None
) -> Trainer:
    """A trainer on the device, of a base that lies in host memory; `say` is told how it fits on a card.

    Raises, before images are encoded, InvalidInput for a class word of two tokens, and when a card has too
    little memory, Exhausted when it has too little now.
    """
    recipe, method = lesson.recipe, lesson.method
    if isinstance(method, str):
        method = method_named(method)
    written = [image.caption for image in lesson.images]
    captions = Captions(lesson.name, lesson.class_word, written, recipe.shuffle_captions)
    model = Model(base)
    model.tokens.class_row(lesson.class_word)  # refuses a class word of two tokens at once
    found = choose(device, job_of(base, recipe, method, lesson.texts, lesson.draws), say)
    latents = cache_latents(base, lesson.images, recipe, recipe.seed, lesson.work, device)
    place(base, found, device)
    subject = Subject(lesson.name, lesson.class_word, captions, latents)
    trainer = Trainer(model, subject, method, recipe)
    if found is None or not found.twice:
        recompute_if_needed(trainer)
    return trainer
