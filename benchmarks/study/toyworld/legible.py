"""How often what is there is read: the most that text alignment can be."""

import random
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from PIL import Image

from benchmarks.study.toyworld.alike import SIZE, half_of
from benchmarks.study.toyworld.concepts import CONCEPTS, Concept, figure_of
from benchmarks.study.toyworld.reading import reader_of
from benchmarks.study.toyworld.scenery import Spot, paint_spot
from fedshow.toyworld.encoder import ToyworldEncoder
from fedshow.toyworld.heldout import training_character
from fedshow.toyworld.places import paint_place
from fedshow.toyworld.scenes import SUPERSAMPLING, compose
from fedshow.toyworld.world import PLACES, Character

VIEWS = 12


def legible(names: Sequence[str], work: Path) -> dict[str, dict[str, float]]:
    """By group: share of drawings in which place and kind, colour, accessory of company are read right."""
    rng = random.Random("legible")
    found: dict[str, dict[str, list[bool]]] = {}
    for name in names:
        group = found.setdefault(CONCEPTS[name].group, {})
        for k in range(VIEWS):
            for attribute, right in _trial(
                CONCEPTS[name], PLACES[k % len(PLACES)], rng, reader_of(name, work)
            ).items():
                group.setdefault(attribute, []).append(right)
    return {group: {a: fmean(v) for a, v in read.items()} for group, read in found.items()}


def _trial(
    concept: Concept, place: str, rng: random.Random, reader: ToyworldEncoder
) -> dict[str, bool]:
    """One drawing of the concept with somebody, as a prompt might ask for it."""
    canvas, somebody = SIZE * SUPERSAMPLING, training_character(rng)
    if isinstance(concept.looks, Spot):
        image, _ = compose(paint_spot(concept.looks, rng, canvas), [figure_of(somebody)], rng)
        return _of_somebody(reader, image, somebody)
    figures = [figure_of(concept.looks), figure_of(somebody)]
    image, _ = compose(paint_place(place, rng, canvas), figures, rng)
    labels = reader.attributes([image])["place"].labels
    return {"place": labels[0] == place} | _of_somebody(reader, half_of(image, "right"), somebody)


def _of_somebody(
    reader: ToyworldEncoder, image: Image.Image, somebody: Character
) -> dict[str, bool]:
    read = reader.attributes([image])
    names = ("kind", "colour", "accessory")
    return {name: read[name].labels[0] == getattr(somebody, name) for name in names}
