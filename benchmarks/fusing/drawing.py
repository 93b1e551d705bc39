"""What a set of concepts looks like after a fusion: identity, distance to single pictures, drift."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from benchmarks.embedded import encoder, toyworld
from benchmarks.fusing.concepts import concept_path
from benchmarks.private_folder import person
from fedshow.concepts import ConceptFile, read_concept
from fedshow.demo.measuring import prompts_for, reference
from fedshow.families import Base
from fedshow.releases.updates import as_adapters
from fedshow.sampling.model import Model
from fedshow.scoring.prompts import PLACES

SEED = 7000
KINDS = ("kitten", "monster", "robot", "bunny", "chick")
GENERIC = tuple(
    f"{start} {kind}{place}"
    for start in ("a", "photo of a", "a photo of a")
    for kind in KINDS
    for place in ("", *(f" {place}" for place in PLACES))
)[:100]
"""A hundred prompts without a concept."""

GENERIC_STEPS = 10
Pixels = NDArray[np.float32]
"""Pictures `[B, H, W, 3]`, 0..1."""


def concept_of(character: str, work: Path, base: Base | None = None) -> ConceptFile:
    """The tuned concept; of toyworld, unless another base is given."""
    return read_concept(concept_path(character, work), (base or toyworld()).card)


def draw_single(character: str, work: Path) -> dict[str, Any]:
    """The concept by itself: identity; its pictures are kept for comparisons."""
    model = Model(toyworld())
    try:
        model.add_concept(concept_of(character, work))
        images = model(prompts_for(character), seed=SEED).images
    finally:
        model.restore()
    single = _single_path(character, work)
    single.parent.mkdir(parents=True, exist_ok=True)
    np.save(single, _pixels(images), allow_pickle=False)
    return {"identity": _identity(character, images, work)}


def draw_generic(
    work: Path, base: Base | None = None, texts: Sequence[str] = GENERIC
) -> dict[str, Any]:
    """The bare base, toyworld if none is given, on prompts without a concept; its pictures are kept."""
    model = Model(base or toyworld())
    generic = generic_path(work)
    generic.parent.mkdir(parents=True, exist_ok=True)
    try:
        np.save(generic, _generic(model, texts), allow_pickle=False)
    finally:
        model.restore()
    return {"pictures": len(texts)}


def draw_fused(characters: Sequence[str], fused: Path, work: Path, drift: bool) -> dict[str, Any]:
    """Every concept out of the fused model, and what the model makes of prompts without one."""
    model = Model(toyworld())
    try:
        for character in characters:
            model.add_words(concept_of(character, work))
        model.add_adapters(as_adapters(load_file(fused)))
        found = {character: _draw_one(model, character, work) for character in characters}
        moved = drift_of(model, work) if drift else None
    finally:
        model.restore()
    return {"concepts": found, "drift": moved}


def drift_of(model: Model, work: Path, texts: Sequence[str] = GENERIC) -> float:
    """How far a model is from the bare base, by what `draw_generic` kept of it."""
    return _difference(_generic(model, texts), generic_path(work))


def _draw_one(model: Model, character: str, work: Path) -> dict[str, float]:
    images = model(prompts_for(character), seed=SEED).images
    return {
        "identity": _identity(character, images, work),
        "to_single": _difference(_pixels(images), _single_path(character, work)),
    }


def _generic(model: Model, texts: Sequence[str]) -> Pixels:
    return _pixels(model(list(texts), seed=SEED, steps=GENERIC_STEPS).images)


def _identity(character: str, images: Sequence[Image.Image], work: Path) -> float:
    known = reference(character, person(character, work / "people").images, encoder())
    return fmean(known.similarity(encoder().identity(images)).tolist())


def _pixels(images: Sequence[Image.Image]) -> Pixels:
    return np.stack([np.asarray(image, dtype=np.float32) / 255 for image in images])


def _difference(pixels: Pixels, expected: Path) -> float:
    """Mean squared difference of all channels of all pictures."""
    return float(np.square(pixels - np.load(expected, allow_pickle=False)).mean())


def _single_path(character: str, work: Path) -> Path:
    return work / "pictures" / f"{character}.npy"


def generic_path(work: Path) -> Path:
    """Where the bare base's pictures of the hundred prompts lie."""
    return work / "pictures" / "generic.npy"
