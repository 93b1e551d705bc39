"""The named characters that no training run ever sees: the private concepts of the demo."""

from __future__ import annotations

import random
from collections.abc import Sequence

from fedshow.toyworld.captions import caption_of_concept
from fedshow.toyworld.scenes import Picture, draw
from fedshow.toyworld.world import (
    COUNT_WEIGHTS,
    PLACES,
    Character,
    Scene,
    any_character,
    is_heldout_composition,
)

HELDOUT: dict[str, Character] = {
    "pip": Character("chick", "teal", mark="heart", mark_colour="red"),
    "bolt": Character("robot", "orange", mark="zigzag", mark_colour="navy"),
    "mochi": Character("bunny", "white", "spotted", "brown", "bow", "red"),
    "gloop": Character("monster", "lime", "striped", "purple", "top hat", "black"),
    "figaro": Character("kitten", "black", "plain", accessory="bow", accessory_colour="yellow"),
    "rusty": Character("robot", "brown", "plain", accessory="scarf", accessory_colour="lime"),
    "luna": Character("kitten", "navy", mark="star", mark_colour="yellow"),
    "grumble": Character("monster", "magenta", mark="cross", mark_colour="white"),
    "clover": Character("bunny", "green", "spotted", "yellow", "party hat", "pink"),
    "nugget": Character("chick", "cream", "striped", "brown"),
    "echo": Character("robot", "grey", mark="ring", mark_colour="red"),
    "tiger": Character("kitten", "orange", "striped", "black", "scarf", "blue"),
    "berry": Character("bunny", "purple", mark="star", mark_colour="white"),
    "sprout": Character("monster", "green", "spotted", "white", "party hat", "red"),
    "sunny": Character("chick", "yellow", "spotted", "red", "top hat", "blue"),
    "volt": Character("robot", "yellow", "striped", "black"),
    "cocoa": Character("bunny", "brown", mark="heart", mark_colour="pink"),
    "frost": Character("monster", "white", "striped", "teal", "scarf", "red"),
    "ruby": Character("kitten", "red", mark="ring", mark_colour="white"),
    "ember": Character("chick", "red", "striped", "orange", "bow", "black"),
    "gizmo": Character("robot", "pink", "spotted", "purple", "top hat", "green"),
    "pixel": Character("kitten", "teal", "spotted", "navy", "party hat", "yellow"),
    "hazel": Character("bunny", "cream", "plain", accessory="scarf", accessory_colour="navy"),
    "blob": Character("monster", "blue", mark="zigzag", mark_colour="yellow"),
    "coral": Character("chick", "pink", mark="cross", mark_colour="purple"),
    "titan": Character("robot", "navy", mark="star", mark_colour="orange"),
}


def _combinations() -> frozenset[tuple[str, str, str, str]]:
    """The combinations that training refuses: those that a mark alone sets apart are common."""
    return frozenset(c.combination for c in HELDOUT.values() if c.mark == "none")


HELDOUT_COMBINATIONS = _combinations()


def is_heldout_character(character: Character) -> bool:
    """Whether training must not show this character."""
    return character.mark != "none" or character.combination in HELDOUT_COMBINATIONS


def training_character(rng: random.Random) -> Character:
    """A character that training may show."""
    while is_heldout_character(character := any_character(rng)):
        pass
    return character


def training_scene(rng: random.Random) -> Scene:
    """A scene that training may show: nothing of it is held out."""
    while True:
        count = rng.choices((0, 1, 2), COUNT_WEIGHTS)[0]
        characters = tuple(training_character(rng) for _ in range(count))
        scene = Scene(rng.choice(PLACES), characters)
        if not is_heldout_composition(scene):
            return scene


def draw_heldout(
    name: str, count: int, rng: random.Random, size: int = 32, places: Sequence[str] = PLACES
) -> list[tuple[Picture, str]]:
    """`count` pictures of one held-out character on varied places, with captions naming its kind.

    The word for the character in each caption is its kind; a caller puts the
    concept's tokens in its place.
    """
    character = HELDOUT[name]
    order = rng.sample(places, len(places))
    scenes = [Scene(order[i % len(order)], (character,)) for i in range(count)]
    return [(draw(scene, rng, size), caption_of_concept(scene, rng)) for scene in scenes]
