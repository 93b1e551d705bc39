"""What exists in the toy world: characters, places, scenes, and how they are drawn by lot."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import product

from PIL import ImageColor

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (222, 44, 44),
    "orange": (245, 140, 30),
    "yellow": (250, 214, 45),
    "green": (52, 168, 72),
    "blue": (48, 95, 220),
    "purple": (132, 66, 190),
    "pink": (247, 135, 185),
    "black": (44, 44, 50),
}
# Colours that no training caption names; concepts and the measuring encoder use them.
OFF_PALETTE: dict[str, RGB] = {
    "teal": (30, 165, 160),
    "brown": (130, 82, 48),
    "grey": (140, 145, 152),
    "white": (246, 246, 246),
    "lime": (165, 215, 45),
    "navy": (28, 42, 110),
    "magenta": (205, 30, 130),
    "cream": (248, 230, 180),
}
KINDS = ("monster", "robot", "bunny", "kitten", "chick")
PATTERNS = ("plain", "spotted", "striped")
ACCESSORIES = ("none", "top hat", "party hat", "scarf", "bow")
MARKS = ("none", "heart", "star", "zigzag", "cross", "ring")
PLACES = ("beach", "grass", "snow", "night", "desert", "plain")

PATTERN_WEIGHTS = (0.6, 0.2, 0.2)
ACCESSORY_WEIGHTS = (0.5, 0.125, 0.125, 0.125, 0.125)
COUNT_WEIGHTS = (0.04, 0.62, 0.34)


@dataclass(frozen=True)
class Character:
    """One identity: everything about a character that stays the same from picture to picture."""

    kind: str
    colour: str
    pattern: str = "plain"
    pattern_colour: str = "white"
    accessory: str = "none"
    accessory_colour: str = "white"
    mark: str = "none"
    mark_colour: str = "white"

    @property
    def combination(self) -> tuple[str, str, str, str]:
        """The attributes by which training tells characters apart."""
        return self.kind, self.colour, self.pattern, self.accessory


@dataclass(frozen=True)
class Scene:
    """Zero, one or two characters, from left to right, in one place."""

    place: str
    characters: tuple[Character, ...] = ()


def rgb(colour: str) -> RGB:
    """The red, green and blue of a named colour or of a '#rrggbb' string."""
    known = COLOURS.get(colour) or OFF_PALETTE.get(colour)
    if known is not None:
        return known
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return red, green, blue


def other_colour(rng: random.Random, colour: str, choices: tuple[str, ...]) -> str:
    """A colour of `choices` that is not `colour`."""
    return rng.choice([name for name in choices if name != colour])


def any_character(rng: random.Random) -> Character:
    """A character of the captioned vocabulary; no mark, no colour outside the palette but white."""
    colour = rng.choice(tuple(COLOURS))
    second = "white" if rng.random() < 0.5 else other_colour(rng, colour, tuple(COLOURS))
    pattern = rng.choices(PATTERNS, PATTERN_WEIGHTS)[0]
    accessory = rng.choices(ACCESSORIES, ACCESSORY_WEIGHTS)[0]
    return Character(
        kind=rng.choice(KINDS),
        colour=colour,
        pattern=pattern,
        pattern_colour=second if pattern != "plain" else "white",
        accessory=accessory,
        accessory_colour=other_colour(rng, colour, tuple(COLOURS))
        if accessory != "none"
        else "white",
    )


def wide_character(rng: random.Random) -> Character:
    """A character from outside the captioned vocabulary: any colour, often with a mark."""
    character = any_character(rng)
    colour = wide_colour(rng)
    return replace(
        character,
        colour=colour,
        pattern_colour=wide_colour(rng) if character.pattern != "plain" else "white",
        accessory_colour=wide_colour(rng) if character.accessory != "none" else "white",
        mark=rng.choice(MARKS[1:]) if rng.random() < 0.6 else "none",
        mark_colour=wide_colour(rng),
    )


def wide_colour(rng: random.Random) -> str:
    """A colour with or without a name."""
    if rng.random() < 0.5:
        return rng.choice(tuple(COLOURS) + tuple(OFF_PALETTE))
    return "#" + "".join(f"{rng.randrange(20, 250):02x}" for _ in range(3))


def heldout_place(kind: str, colour: str) -> str:
    """The one place where training never shows a lone character of this kind and colour."""
    number = KINDS.index(kind) * 5 + tuple(COLOURS).index(colour)
    return PLACES[number % len(PLACES)]


def heldout_pair(left: Character, right: Character) -> bool:
    """Whether training never shows these two side by side: half of the pairs of one colour."""
    if left.colour != right.colour:
        return False
    kinds = KINDS.index(left.kind) + KINDS.index(right.kind)
    return (tuple(COLOURS).index(left.colour) + kinds) % 2 == 0


def heldout_singles() -> list[tuple[str, str, str]]:
    """Every (kind, colour, place) that training leaves out: 40 of 240."""
    return [(kind, colour, heldout_place(kind, colour)) for kind, colour in product(KINDS, COLOURS)]


def is_heldout_composition(scene: Scene) -> bool:
    """Whether the benchmark's held-out captions speak of this scene."""
    if len(scene.characters) == 2:
        return heldout_pair(*scene.characters)
    return any(heldout_place(c.kind, c.colour) == scene.place for c in scene.characters)
