"""Pictures of the concept during tuning: a few prompts, always the same noise, three strengths."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fedshow.sampling.model import Model
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.watching.sample_files import (
    PROMPTS,
    prompts_for,
    sample_path,
    samples_of,
)
from fedshow_client.tuning.watching.settings import SCALES

SEED = 1
SMALL_EDGE = 128
"""Bases of smaller pictures need few denoising steps, and all pictures fit into memory at once."""


@dataclass(frozen=True)
class Sample:
    """One picture, and what it was asked to show."""

    scale: float
    prompt: str
    image: Image.Image


def draw_samples(model: Model, name: str) -> list[Sample]:
    """Every prompt at every scale, scale by scale; the same pictures from the same weights."""
    prompts = prompts_for(f"<{name}>")
    at_once = len(prompts) if _is_small(model) else 1
    return [
        Sample(scale, prompt, image)
        for scale in SCALES
        for start in range(0, len(prompts), at_once)
        for prompt, image in _draw(model, prompts[start : start + at_once], scale)
    ]


def _draw(model: Model, prompts: list[str], scale: float) -> Iterator[tuple[str, Image.Image]]:
    steps = _denoising_steps(model)
    images = model(prompts, seed=SEED, steps=steps, scale=scale).images
    return zip(prompts, images, strict=True)


def cost_in_steps(model: Model, recipe: Recipe) -> float:
    """How many training steps take as long as one look: a step passes three times, guidance twice."""
    passes = len(PROMPTS) * len(SCALES) * 2 * _denoising_steps(model)
    return passes / (3 * recipe.batch)


def _denoising_steps(model: Model) -> int:
    return 10 if _is_small(model) else 20


def _is_small(model: Model) -> bool:
    return model.base.sample_pixels < SMALL_EDGE


class SampleFolder:
    """The pictures of all looks as PNG files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, samples: Sequence[Sample]) -> None:
        """Writes one file for each sample; raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for number, sample in enumerate(samples):
            sample.image.save(sample_path(self.folder, step, number))

    def load(self, step: int, name: str) -> list[Sample]:
        """The samples of a look; none when their files are not (all) there or broken."""
        try:
            return [
                Sample(file.scale, file.prompt, _opened(file.path))
                for file in samples_of(self.folder, step, name)
            ]
        except OSError:
            return []


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")
