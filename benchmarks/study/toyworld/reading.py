"""What is read of a picture: how like the concept it is, and whether it shows what its prompt asks for."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from statistics import fmean

from PIL import Image
from torch import Tensor

from benchmarks.embedded import encoder
from benchmarks.study.material import Prompt, Read, Where
from benchmarks.study.toyworld.alike import half_of
from benchmarks.study.toyworld.concepts import CONCEPTS
from benchmarks.study.toyworld.eye import open_eye
from fedshow.demo.measuring import Reference, reference
from fedshow.toyworld.encoder import ToyworldEncoder

REAL = 0.5
"""Probability from which on somebody is there."""


def judge_of(name: str, work: Path) -> ToyworldEncoder:
    """Who tells the concept's group apart: toyworld's encoder characters, the study's own the others."""
    return encoder() if CONCEPTS[name].group == "characters" else open_eye(work)


@cache
def known(name: str, work: Path) -> Reference:
    """The concept's private pictures, as its judge sees them."""
    return reference(name, work / "people" / name / "images", judge_of(name, work))


def part(image: Image.Image, where: Where) -> Image.Image:
    """The whole picture, or the square in one half where a figure stands."""
    return image if where == "whole" else half_of(image, where)


def identities(
    name: str, images: Sequence[Image.Image], prompts: Sequence[Prompt], work: Path
) -> list[float]:
    """Mean cosine of each picture to the private ones, read where the prompt puts the concept."""
    crops = [part(image, prompt.where) for image, prompt in zip(images, prompts, strict=True)]
    features: Tensor = judge_of(name, work).identity(crops)
    return [float(value) for value in known(name, work).similarity(features)]


def reader_of(name: str, work: Path) -> ToyworldEncoder:
    """Who reads what else is there: toyworld's encoder in its places, the study's own in the scenes."""
    return open_eye(work) if CONCEPTS[name].group == "scenes" else encoder()


def fulfilled(name: str, image: Image.Image, prompt: Prompt, work: Path) -> list[bool]:
    """Of everything that the prompt asks for beside the concept, whether it can be read."""
    reader = reader_of(name, work)
    return [
        _read(reader, part(image, ask.where), ask.attribute) == ask.label for ask in prompt.asks
    ]


def _read(reader: ToyworldEncoder, image: Image.Image, attribute: str) -> str | None:
    """The label of an attribute; nobody has a kind who is not there."""
    read = reader.attributes([image])
    if attribute == "kind":
        own = reader is encoder()
        there = float(reader.realness([image])[0]) > REAL if own else read["count"].labels[0] != "0"
        return read["kind"].labels[0] if there else None
    return read[attribute].labels[0]


def read(name: str, images: Sequence[Image.Image], prompts: Sequence[Prompt], work: Path) -> Read:
    """Identity of every picture, and the share of what was asked for that it shows."""
    return {
        "identity": identities(name, images, prompts, work),
        "text": [fmean(fulfilled(name, i, p, work)) for i, p in zip(images, prompts, strict=True)],
    }
