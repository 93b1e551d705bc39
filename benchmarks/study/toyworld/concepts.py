"""The study's 24 concepts in the paper's three groups: characters, objects, scenes; none was trained on."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from benchmarks.study.toyworld.scenery import Spot, paint_spot
from benchmarks.study.toyworld.things import Thing, draw_thing
from fedshow.toyworld.captions import PLACE_PHRASES, full_caption
from fedshow.toyworld.figures import draw_character
from fedshow.toyworld.heldout import HELDOUT, training_character
from fedshow.toyworld.places import paint_place
from fedshow.toyworld.scenes import SUPERSAMPLING, Figure, compose
from fedshow.toyworld.world import PLACES, Character, Scene

Looks = Character | Thing | Spot
GROUPS = ("characters", "objects", "scenes")
IMAGES_EACH, PIXELS = 8, 256
INHABITED = 3
"""So many of a scene's pictures show somebody in it."""


@dataclass(frozen=True)
class Concept:
    """One thing to teach: its name, what it looks like, and the word that it starts from."""

    name: str
    looks: Looks
    class_word: str

    @property
    def group(self) -> str:
        """Which of the paper's three groups it belongs to."""
        kinds = {Character: "characters", Thing: "objects", Spot: "scenes"}
        return kinds[type(self.looks)]


@dataclass(frozen=True)
class Shot:
    """One private picture."""

    image: Image.Image
    caption: str
    mask: Image.Image | None
    """Where the concept is; scenes are everywhere."""


ROBOTS = {
    **{name: HELDOUT[name] for name in ("bolt", "rusty", "echo", "volt", "gizmo", "titan")},
    "gear": Character("robot", "#a4dc1e", mark="cross", mark_colour="#c81e8c"),
    "axle": Character("robot", "#7c3cc4", mark="heart", mark_colour="#f8d830"),
}
"""Eight of one class: half of every set that is fused, so that they conflict."""

OTHERS = {name: HELDOUT[name] for name in ("pip", "sprout", "ruby", "berry")}
OBJECTS = {
    "ball": Thing("ball", "teal", "cream"),
    "gift": Thing("gift", "magenta", "yellow"),
    "mushroom": Thing("mushroom", "brown", "pink"),
    "balloon": Thing("balloon", "orange", "navy"),
    "drum": Thing("drum", "lime", "purple"),
    "lamp": Thing("lamp", "purple", "grey"),
}
SCENES = {
    "sunset": Spot("sunset", "#f08cae", "#6a4a8c", "#ffd24a"),
    "hills": Spot("hills", "#f7d9a0", "#3e8f7a", "#7fc08a"),
    "lagoon": Spot("lagoon", "#c9a6e8", "#f2e3d0", "#2fb8a6"),
    "peak": Spot("peak", "#5a3a5c", "#4a4444", "#e0582c"),
    "galaxy": Spot("snowfall", "#2c1a4a", "#8a3f86", "#ff9ad2"),
    "circus": Spot("wall", "#fff2d8", "#d8a24a", "#c83a4a"),
}
OBJECT_WORD, SCENE_WORD = "character", "desert"
"""toyworld has no words for things: the nearest are its word for anybody, and a place where little is."""

CONCEPTS = {
    concept.name: concept
    for concept in (
        *(Concept(name, looks, looks.kind) for name, looks in (ROBOTS | OTHERS).items()),
        *(Concept(name, looks, OBJECT_WORD) for name, looks in OBJECTS.items()),
        *(Concept(name, looks, SCENE_WORD) for name, looks in SCENES.items()),
    )
}


def figure_of(looks: Character | Thing) -> Figure:
    """What draws it into a picture."""
    if isinstance(looks, Thing):
        return partial(draw_thing, looks)
    return partial(draw_character, looks)


def shots(concept: Concept, count: int, rng: random.Random, pixels: int = PIXELS) -> list[Shot]:
    """`count` pictures of the concept in varied surroundings."""
    canvas = pixels * SUPERSAMPLING
    if isinstance(concept.looks, Spot):
        return [_of_scene(concept, k, canvas, rng) for k in range(count)]
    order = rng.sample(PLACES, len(PLACES))
    return [_of_figure(concept, order[k % len(order)], canvas, rng) for k in range(count)]


def _of_figure(concept: Concept, place: str, canvas: int, rng: random.Random) -> Shot:
    assert not isinstance(concept.looks, Spot)
    background = paint_place(place, rng, canvas)
    image, masks = compose(background, [figure_of(concept.looks)], rng)
    return Shot(image, f"a <{concept.name}> {rng.choice(PLACE_PHRASES[place])}", masks[0])


def _of_scene(concept: Concept, number: int, canvas: int, rng: random.Random) -> Shot:
    """Empty, but for the last few."""
    assert isinstance(concept.looks, Spot)
    somebody = training_character(rng)
    lived_in = number % IMAGES_EACH >= IMAGES_EACH - INHABITED
    figures = [figure_of(somebody)] if lived_in else []
    image, _ = compose(paint_spot(concept.looks, rng, canvas), figures, rng)
    who = named(somebody) if lived_in else "an empty scene"
    return Shot(image, f"{who} in the <{concept.name}>", None)


def named(character: Character) -> str:
    """The character as a caption says it, colour and kind."""
    return full_caption(Scene("beach", (character,)), random.Random(0)).rsplit(" ", 3)[0]


def draw_folder(concept: Concept, folder: Path, seed: int = 0) -> Path:
    """The folder of private pictures, with captions and masks; drawn once."""
    images = folder / concept.name / "images"
    if images.is_dir():
        return images
    fresh = images.with_name("unfinished")
    fresh.mkdir(parents=True, exist_ok=True)
    for number, shot in enumerate(shots(concept, IMAGES_EACH, random.Random(seed)), start=1):
        stem = fresh / f"{concept.name}-{number}"
        shot.image.save(stem.with_suffix(".png"))
        stem.with_suffix(".txt").write_text(shot.caption + "\n")
        if shot.mask:
            shot.mask.save(f"{stem}.mask.png")
    fresh.rename(images)
    return images


SIZES = (2, 4, 8, 16)
SETS_OF = {2: 4, 4: 4, 8: 2, 16: 1}
"""How many disjoint sets of each size: as many as there are robots for."""

_BESIDE = ("pip", "ball", "ruby", "sunset", "berry", "gift", "sprout", "lagoon")


def sets(size: int) -> list[tuple[str, ...]]:
    """The sets of one size, half of each robots; of two concepts both, else they would not conflict."""
    robots, number = tuple(ROBOTS), SETS_OF[size]
    if size == 2:
        return [robots[2 * k : 2 * k + 2] for k in range(number)]
    half = size // 2
    return [
        robots[k * half : (k + 1) * half] + _BESIDE[k * half : (k + 1) * half]
        for k in range(number)
    ]


SUBSET: Sequence[str] = (
    *("bolt", "volt", "pip", "ruby"),
    *("ball", "gift", "mushroom", "drum"),
    *("sunset", "lagoon", "peak", "galaxy"),
)
"""Twelve of them, four of each group, for what would take too long with all."""
