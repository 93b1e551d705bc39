"""Pictures of one model, kept on disk: what is there is not drawn again.

A table is a recipe of P prompts and S seeds: all of the first prompt, then all of the next.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import groupby, product
from pathlib import Path
from typing import TypeVar

from PIL.Image import Image

from fedshow import __version__
from fedshow.files import write_atomically
from fedshow.sampling.document import RecipeDocument
from fedshow.sampling.model import Model
from fedshow.sampling.pictures import encode_picture, read_picture
from fedshow.sampling.recipe import MOST_PICTURES, Recipe

OnPictures = Callable[[int], None]
"""Told how many pictures more are there."""

_T = TypeVar("_T")


def drawn_with(model: Model, digest: str) -> str:
    """All that decides a picture beside its recipe: weights, where they compute, and our own version."""
    base = model.base
    said = [__version__, base.card.sha256, digest, base.device.type, str(base.dtype)]
    return sha256(json.dumps(said).encode()).hexdigest()


class Pictures:
    """Files named for all that decides the picture in them."""

    def __init__(self, folder: Path, model: str) -> None:
        self.folder, self.model = folder, model
        """`model` is what `drawn_with` says."""

    def key(self, table: Recipe, prompt: str, seed: int) -> str:
        """What names the picture of one prompt and seed."""
        recipe = RecipeDocument.of(table.alone(prompt, seed)).model_dump_json()
        return sha256(f"{self.model} {recipe}".encode()).hexdigest()[:40]

    def draw(self, model: Model, table: Recipe, on_pictures: OnPictures) -> None:
        """Draws what is missing of a table; each batch is kept before the next is begun."""
        all_of_it = len(table.prompts) * len(table.seeds)
        left = list(self._missing(table, model.base.sample_pixels))
        on_pictures(all_of_it - sum(len(batch.prompts) * batch.n for batch in left))
        for batch in left:
            images = model.draw(batch).images
            for (prompt, seed), image in zip(_cells(batch), images, strict=True):
                write_atomically(self._path(table, prompt, seed), encode_picture(image))
            on_pictures(len(images))

    def row(self, table: Recipe, prompt: str) -> list[Image]:
        """The pictures of one prompt, seed by seed."""
        return [read_picture(self._path(table, prompt, seed)) for seed in table.seeds]

    def of(self, table: Recipe) -> list[Image]:
        """All pictures of a table."""
        return [image for prompt in table.prompts for image in self.row(table, prompt)]

    def _path(self, table: Recipe, prompt: str, seed: int) -> Path:
        return self.folder / f"{self.key(table, prompt, seed)}.png"

    def _missing(self, table: Recipe, edge: int) -> Iterator[Recipe]:
        at_once = min(MOST_PICTURES, table.pictures_at_once(table.size(edge)))
        seeds_of = {
            prompt: [s for s in table.seeds if not self._path(table, prompt, s).is_file()]
            for prompt in table.prompts
        }
        for seeds, prompts in groupby(seeds_of, lambda prompt: seeds_of[prompt]):
            together = list(prompts)
            for some in _parts(seeds, at_once):
                for few in _parts(together, at_once // len(some)):
                    yield replace(table, prompt=few, seed=some, n=len(some))


def _cells(table: Recipe) -> Iterator[tuple[str, int]]:
    return product(table.prompts, table.seeds)


def _parts(values: Sequence[_T], length: int) -> Iterator[Sequence[_T]]:
    return (values[k : k + length] for k in range(0, len(values), length))
