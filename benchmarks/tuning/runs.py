"""One run of the quality study: a concept tuned by one method and one seed, then drawn and judged.

The private folder and the pictures that are judged are the same for all methods and seeds; a seed changes
the tuning alone.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from benchmarks.embedded import encoder, toyworld
from benchmarks.private_folder import candidates, person
from benchmarks.tuning.loops import our_trainer
from fedshow.demo import measuring
from fedshow.demo.folders import Person
from fedshow.edlora.adapters import Adapters
from fedshow.families import open_base
from fedshow.sampling.model import Model
from fedshow.scoring.prompts import PLACES as PHRASES
from fedshow.toyworld.world import PLACES
from fedshow_client.tuning.checkpoint import Progress
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.trainer import Trainer

DRAWING_SEEDS = range(2)
_PLACE_OF = dict(zip(PHRASES, PLACES, strict=True))


@dataclass(frozen=True)
class Run:
    """What to tune, and after which steps to judge besides the last."""

    character: str
    method: str
    seed: int = 0
    factor: float = 1.0
    """All learning rates of the recipe times this."""

    points: tuple[int, ...] = ()
    scales: tuple[float, ...] = (1.0, 0.0)
    """Strengths of the adapters at which the finished concept is drawn."""


@dataclass(frozen=True)
class Task:
    """A run with the recipe that it uses: together they tell whether it was done before."""

    run: Run
    recipe: dict[str, Any] = field(hash=False)

    @property
    def key(self) -> dict[str, Any]:
        """What names the task in the results."""
        return {**asdict(self.run), "recipe": self.recipe}


def task(run: Run) -> Task:
    """The run with all numbers of its recipe."""
    plain = Recipe.for_base(toyworld(), run.method, seed=run.seed)
    rates = {key: value * run.factor for key, value in plain if key.startswith("lr_")}
    changed = Recipe.for_base(toyworld(), run.method, seed=run.seed, **rates)
    return Task(run, changed.model_dump())


def perform(task: Task, folder: Path) -> dict[str, Any]:
    """Tunes, draws and judges: scores at every point and scale, losses, seconds."""
    run, judge = task.run, _Judge(person(task.run.character, folder))
    started = time.perf_counter()
    images, recipe = candidates(judge.person, captions=True), Recipe.model_validate(task.recipe)
    trainer = our_trainer(open_base("toyworld"), judge.person, images, recipe, run.method)
    preparation = time.perf_counter() - started
    points: list[dict[str, Any]] = []

    judging: list[float] = []

    def spent() -> float:
        return time.perf_counter() - started - sum(judging)

    def after_step(progress: Progress, _: int) -> None:
        if progress.step in run.points:
            point = {"step": progress.step, "seconds": spent()}
            before = time.perf_counter()
            points.append(point | {"identity": judge.scores(trainer, 1.0)["identity"]})
            judging.append(time.perf_counter() - before)

    progress = Progress()
    trainer.run(progress, after_step, lambda: False)
    seconds = spent()
    trainer.model.restore()
    scores = {f"{scale:g}": judge.scores(trainer, scale) for scale in run.scales}
    last = {"step": progress.step, "seconds": seconds, "identity": scores["1"]["identity"]}
    return {
        "seconds": seconds,
        "preparation": preparation,
        "points": [*points, last] if run.points else [],
        "loss": fmean(progress.losses[-50:]),
        "parameters": sum(value.numel() for value in trainer.parameters().values()),
        "scores": scores,
    }


def bounds(character: str, folder: Path) -> dict[str, Any]:
    """What the untuned base reaches with the class word, and the private pictures among themselves."""
    judge = _Judge(person(character, folder))
    model = Model(toyworld())
    try:
        lower = judge.judge(model, 1.0, plain=True)
    finally:
        model.restore()
    features = judge.known.features
    others = (features @ features.T).fill_diagonal_(0).sum(1) / (len(features) - 1)
    return {"class_word": lower, "private_pictures": float(others.mean())}


class _Judge:
    """Draws one concept's twenty prompts with fixed seeds and reads the pictures."""

    def __init__(self, someone: Person) -> None:
        self.person = someone
        self.known = measuring.reference(someone.concept, someone.images, encoder())

    def scores(self, trainer: Trainer, scale: float) -> dict[str, Any]:
        """Of the concept as its file would hold it now."""
        tensors = {key: value.half().float() for key, value in trainer.concept_tensors().items()}
        model = Model(toyworld())
        rows = {word: tensors[f"tokens.{word}"] for word in trainer.words}
        model.tokens.add_concept(self.person.concept, rows)
        recipe = trainer.recipe
        model.add_adapters(Adapters.from_tensors(tensors, recipe.alpha / recipe.rank))
        try:
            return self.judge(model, scale)
        finally:
            model.restore()

    def judge(self, model: Model, scale: float, plain: bool = False) -> dict[str, Any]:
        """Identity, share of pictures that show a real character, share in the place asked for."""
        name = self.person.concept
        prompts = measuring.prompts_for(name)
        asked = [_place(prompt) for prompt in prompts]
        if plain:
            prompts = [prompt.replace(f"<{name}>", self.person.class_word) for prompt in prompts]
        seeds = [self._judge_seed(model, prompts, asked, seed, scale) for seed in DRAWING_SEEDS]
        means = {key: fmean(found[key] for found in seeds) for key in seeds[0]}
        return means | {"identity_by_seed": [found["identity"] for found in seeds]}

    def _judge_seed(
        self, model: Model, prompts: list[str], asked: Sequence[str | None], seed: int, scale: float
    ) -> dict[str, float]:
        images = model(prompts, seed=seed, scale=scale).images
        judge = encoder()
        read = judge.attributes(images)["place"].labels
        right = [found == place for found, place in zip(read, asked, strict=True) if place]
        similar: Tensor = self.known.similarity(judge.identity(images))
        return {
            "identity": float(similar.mean()),
            "place": fmean(right),
            "real": float((judge.realness(images) > 0.5).float().mean()),
        }


def _place(prompt: str) -> str | None:
    """The place that a prompt asks for."""
    return next((place for words, place in _PLACE_OF.items() if prompt.endswith(words)), None)


def start_worker() -> None:
    """One thread for each process: more than there are cores makes every step many times slower."""
    torch.set_num_threads(1)
