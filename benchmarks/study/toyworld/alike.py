"""What the study's eye learns from: objects and scenes by lot, how alike they are, pictures of them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from PIL import Image

from benchmarks.study.toyworld.concepts import OBJECTS, SCENES, Looks, figure_of
from benchmarks.study.toyworld.scenery import SPOTS, Spot, paint_spot
from benchmarks.study.toyworld.things import THINGS, Thing
from fedshow.toyworld.heldout import training_character
from fedshow.toyworld.places import paint_place
from fedshow.toyworld.scenes import SUPERSAMPLING, compose
from fedshow.toyworld.training.identities import Bytes, Labels, colour_likeness, labels_of
from fedshow.toyworld.world import PLACES, Character, wide_character, wide_colour

SIZE = 32
VIEWS = 3
"""Two of one, the third of a relative that differs in one thing."""

HELDOUT: tuple[Looks, ...] = (*OBJECTS.values(), *SCENES.values())
HALVES = 0.25
"""Of pictures of a scene with two in it, so many are cut to one of them: only who that is matters there."""

KIND_DROP = 0.7
"""By how much the cosine falls when the kinds differ."""

COLOUR_DROPS = {"colour": 0.6, "second": 0.4, "sky": 0.35, "land": 0.35, "feature": 0.5}
"""And when a colour differs altogether."""

HELD_OUT_LIKENESS = 0.93
"""Whatever is more alike than this to one of the study's own is never trained on."""


def anything(rng: random.Random) -> Looks:
    """An object, a scene or, rarely, a character; none of the study's own and none that looks like them."""
    lot = rng.random()
    if lot < 0.1:
        return wide_character(rng)
    if lot < 0.55:
        looks: Looks = Thing(rng.choice(tuple(THINGS)), wide_colour(rng), wide_colour(rng))
    else:
        colours = (wide_colour(rng) for _ in range(3))
        looks = Spot(rng.choice(tuple(SPOTS)), *colours)
    return anything(rng) if _is_held_out(looks) else looks


def relative(looks: Looks, rng: random.Random) -> Looks:
    """One that differs in a single thing: the hardest to tell apart."""
    name = rng.choice([field.name for field in fields(looks)])
    while type(other := anything(rng)) is not type(looks):
        pass
    found: Looks = replace(looks, **{name: getattr(other, name)})
    return relative(looks, rng) if _is_held_out(found) else found


def _is_held_out(looks: Looks) -> bool:
    return any(likeness(looks, own) > HELD_OUT_LIKENESS for own in HELDOUT)


def likeness(first: Looks, second: Looks) -> float:
    """The cosine that the two should have: 1 for one and the same, 0 for an object and a scene."""
    if type(first) is not type(second) or not isinstance(first, Thing | Spot):
        return float(first == second)
    found = 1 - KIND_DROP * (first.kind != second.kind)
    for name in [field.name for field in fields(first)][1:]:
        same = colour_likeness(getattr(first, name), getattr(second, name))
        found *= 1 - COLOUR_DROPS[name] * (1 - same)
    return found


def view(looks: Looks, rng: random.Random) -> tuple[Image.Image, list[int]]:
    """A picture with it, alone, beside or behind somebody, or cut out; and what can be read there."""
    if isinstance(looks, Spot):
        return _scene_view(looks, rng)
    place, canvas = rng.choice(PLACES), SIZE * SUPERSAMPLING
    figures, position = [figure_of(looks)], 0
    if rng.random() < 0.5:
        position = rng.randrange(2)
        figures.insert(1 - position, figure_of(_somebody(rng)))
    image, _ = compose(paint_place(place, rng, canvas), figures, rng)
    known = looks if isinstance(looks, Character) else None
    if len(figures) == 1:
        return image, labels_of(known, place, None)
    half = half_of(image, "left" if position == 0 else "right")
    return half, labels_of(known, None, None)


def _scene_view(spot: Spot, rng: random.Random) -> tuple[Image.Image, list[int]]:
    people = [_somebody(rng) for _ in range(rng.choice((0, 1, 1, 2)))]
    figures = [figure_of(person) for person in people]
    image, _ = compose(paint_spot(spot, rng, SIZE * SUPERSAMPLING), figures, rng)
    if len(people) == 2 and rng.random() < HALVES:
        side = rng.randrange(2)
        half = half_of(image, ("left", "right")[side])
        return half, labels_of(people[side], None, 1)
    return image, labels_of(people[0] if len(people) == 1 else None, None, len(people))


def _somebody(rng: random.Random) -> Character:
    """Of named colours, or of any."""
    return training_character(rng) if rng.random() < 0.5 else wide_character(rng)


def half_of(image: Image.Image, side: str) -> Image.Image:
    """The square on one side where a figure of a pair stands, as large as the picture's half."""
    width, height = image.size
    top = round(min(max(0.58 * height - width / 4, 0), height - width / 2))
    left = 0 if side == "left" else width // 2
    return image.crop((left, top, left + width // 2, top + width // 2))


@dataclass(frozen=True)
class Families:
    """Pictures `[N, VIEWS, 32, 32, 3]`, their labels `[N, VIEWS, names]`, and who they are."""

    images: Bytes
    labels: Labels
    people: list[list[Looks]]


def families(seed: int, count: int) -> Families:
    """So many families by lot."""
    rng = random.Random(f"alike/{seed}")
    images, labels, people = [], [], []
    for _ in range(count):
        looks = anything(rng)
        family = [looks, looks, relative(looks, rng)]
        views = [view(member, rng) for member in family]
        images.append([pixels_of(image) for image, _ in views])
        labels.append([read for _, read in views])
        people.append(family)
    return Families(np.array(images, np.uint8), np.array(labels, np.int64), people)


def pixels_of(image: Image.Image) -> Bytes:
    """As bytes `[32, 32, 3]`."""
    return np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def likenesses(people: Sequence[Looks]) -> list[list[float]]:
    """Of all pairs."""
    return [[likeness(a, b) for b in people] for a in people]
