"""A person's private folder, a trainer on it, and short runs."""

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fedshow.demo.folders import Person, draw_images
from fedshow.edlora.methods import METHODS
from fedshow.families import Base
from fedshow.sampling.model import Model
from fedshow_client.tuning.data.captions import Captions
from fedshow_client.tuning.data.folder import scan
from fedshow_client.tuning.data.latents import cache_latents
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.trainer import Subject, Trainer
from fedshow_client.tuning.tune import TuneRequest
from tests.conftest import BASE

MakeRequest = Callable[..., TuneRequest]
MakeTrainer = Callable[..., Trainer]


def no_space(*_: object, **__: object) -> None:
    """Answers as a full disk does."""
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(scope="package")
def person(tmp_path_factory: pytest.TempPathFactory) -> Person:
    found = Person("alice", "gloop", tmp_path_factory.mktemp("alice"))
    draw_images(found, seed=0)
    return found


@pytest.fixture(scope="package")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def request_in(person: Person) -> MakeRequest:
    """Makes a request for six steps on the person's images, all of it in a folder."""

    def make(
        folder: Path, recipe: dict[str, object] | None = None, **changes: object
    ) -> TuneRequest:
        settings: dict[str, object] = {
            "images": person.images,
            "name": "gloop",
            "class_word": "monster",
            "out": folder / "gloop.safetensors",
            "work": folder / "work",
            "base": BASE,
            "checkpoint_steps": 2,
            "leakage": False,
            "recipe": {"steps": 6, "variants": 2, **(recipe or {})},
        }
        return TuneRequest(**(settings | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def make_trainer(base: Base, person: Person, work: Path) -> Iterator[MakeTrainer]:
    """Makes a trainer on the person's images, after taking the one before off the base."""
    models: list[Model] = []

    def make(method: str = "ed-lora", masks: bool = True, **changes: float | bool) -> Trainer:
        while models:
            models.pop().restore()
        recipe = Recipe.for_base(base, method, **{"variants": 2, "steps": 40, **changes})
        images = scan(person.images).accepted
        images = images if masks else [replace(image, mask=None) for image in images]
        captions = Captions("gloop", "monster", [image.caption for image in images])
        models.append(Model(base))
        latents = cache_latents(base, images, recipe, recipe.seed, work)
        subject = Subject("gloop", "monster", captions, latents)
        return Trainer(models[-1], subject, METHODS[method], recipe)

    yield make
    for model in models:
        model.restore()
