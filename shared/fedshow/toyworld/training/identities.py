"""Pictures for the measuring encoder: families of characters, and how alike two of them are."""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from fedshow.toyworld.encoder import LABELS
from fedshow.toyworld.heldout import HELDOUT
from fedshow.toyworld.scenes import Picture, draw
from fedshow.toyworld.world import (
    MARKS,
    PLACES,
    Character,
    Scene,
    any_character,
    rgb,
    wide_character,
)

VIEWS = 3  # two of one character, the third of a relative that differs in one or two things
IGNORED = -100
Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

# By how much the target cosine falls when one thing differs altogether.
DROPS = {"kind": 0.6, "colour": 0.6, "pattern": 0.35, "accessory": 0.35, "mark": 0.35}
COLOUR_REACH = 160.0  # distance in RGB at which two colours have nothing in common


def identity_character(rng: random.Random) -> Character:
    """Any character, half of them from outside the vocabulary; none that is held out."""
    character = any_character(rng) if rng.random() < 0.5 else wide_character(rng)
    if rng.random() < 0.3:
        mark_colour = rng.choice(("white", "black", "red", "yellow", "blue", "pink"))
        character = replace(character, mark=rng.choice(MARKS[1:]), mark_colour=mark_colour)
    return character if character not in HELDOUT.values() else identity_character(rng)


def relative(character: Character, rng: random.Random) -> Character:
    """A character that differs in one or two attributes."""
    other = identity_character(rng)
    for name in rng.sample(sorted(DROPS), rng.choice((1, 1, 2))):
        changes = {name: getattr(other, name)}
        if name not in ("kind", "colour"):
            changes[f"{name}_colour"] = getattr(other, f"{name}_colour")
        character = replace(character, **changes)
    return character


def colour_likeness(first: str, second: str) -> float:
    """1 for one colour, 0 for two far apart."""
    distance = float(np.linalg.norm(np.subtract(rgb(first), rgb(second))))
    return max(0.0, 1 - distance / COLOUR_REACH)


def likeness(first: Character, second: Character) -> float:
    """The cosine that two characters' identities should have: 1 for one and the same."""
    result = 1 - DROPS["kind"] * (first.kind != second.kind)
    result *= 1 - DROPS["colour"] * (1 - colour_likeness(first.colour, second.colour))
    for name in ("pattern", "accessory", "mark"):
        result *= 1 - DROPS[name] * (1 - _part_likeness(first, second, name))
    return result


def _part_likeness(first: Character, second: Character, name: str) -> float:
    part = getattr(first, name)
    if part != getattr(second, name):
        return 0.0
    if part in ("none", "plain"):
        return 1.0
    colours = getattr(first, f"{name}_colour"), getattr(second, f"{name}_colour")
    return 0.4 + 0.6 * colour_likeness(*colours)


def labels_of(character: Character | None, place: str | None, count: int | None) -> list[int]:
    """The index of each label of `LABELS`; -100 where the picture does not tell."""
    known = asdict(character) if character else {}
    known |= {"place": place, "count": None if count is None else str(count)}
    return [
        labels.index(known[name]) if known.get(name) in labels else IGNORED
        for name, labels in LABELS.items()
    ]


def view(character: Character, rng: random.Random) -> tuple[Image.Image, list[int]]:
    """A picture of the character, whole or cut out as a region would be, and its labels."""
    place, style = rng.choice(PLACES), rng.random()
    if style < 0.45:
        return draw(Scene(place, (character,)), rng).image, labels_of(character, place, 1)
    if style < 0.65:
        picture, position = draw(Scene(place, (character,)), rng), 0
    else:
        position = rng.randrange(2)
        others = [character, identity_character(rng)]
        picture = draw(Scene(place, tuple(others if position == 0 else others[::-1])), rng)
    return cut_out(picture, position, rng), labels_of(character, None, None)


def cut_out(picture: Picture, position: int, rng: random.Random) -> Image.Image:
    """A crop around one character of the picture, resized to the picture's size."""
    size = picture.image.width
    left, top, right, bottom = picture.boxes[position]
    pair = len(picture.masks) == 2
    if pair and rng.random() < 0.4:
        box = (0, 0, size // 2, size) if position == 0 else (size // 2, 0, size, size)
    else:
        margins = [rng.randint(-1, 4) for _ in range(4)]
        box = (left - margins[0], top - margins[1], right + margins[2], bottom + margins[3])
        box = (max(0, box[0]), max(0, box[1]), min(size, box[2]), min(size, box[3]))
    return picture.image.crop(box).resize((size, size), Image.Resampling.BICUBIC)


def draw_families(seed: int, count: int) -> tuple[Bytes, Labels, list[list[Character]]]:
    """`count` families: images N × 3 × 32 × 32 × 3, labels N × 3 × names, and who they are."""
    rng = random.Random(f"families/{seed}")
    images, labels, people = [], [], []
    for _ in range(count):
        character = identity_character(rng)
        family = [character, character, relative(character, rng)]
        drawn = [view(member, rng) for member in family]
        images.append([np.asarray(image) for image, _ in drawn])
        labels.append([label for _, label in drawn])
        people.append(family)
    return np.array(images, np.uint8), np.array(labels, np.int64), people


def draw_crowds(seed: int, count: int) -> tuple[Bytes, Labels]:
    """Pictures of two characters or of none, with labels for place and count alone."""
    rng = random.Random(f"crowds/{seed}")
    images, labels = [], []
    for _ in range(count):
        place, number = rng.choice(PLACES), rng.choice((0, 2))
        scene = Scene(place, tuple(identity_character(rng) for _ in range(number)))
        images.append(draw(scene, rng).array())
        labels.append(labels_of(None, place, number))
    return np.array(images, np.uint8), np.array(labels, np.int64)


def draw_many_families(
    seed: int, count: int, processes: int, chunk: int = 500
) -> tuple[Bytes, Labels, list[list[Character]]]:
    """As `draw_families`, in several processes; whole chunks only."""
    chunk = min(chunk, count)
    seeds = [seed * 10_000 + number for number in range(count // chunk)]
    with ProcessPoolExecutor(processes) as pool:
        parts = list(pool.map(draw_families, seeds, [chunk] * len(seeds)))
    images, labels = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    return images, labels, [family for part in parts for family in part[2]]


def save_families(folder: Path, seed: int, count: int, crowds: int, processes: int) -> None:
    """Write families, their mutual likeness inputs and crowds, unless they are there already."""
    if (folder / "crowds.npz").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    images, labels, people = draw_many_families(seed, count, processes)
    np.savez(folder / "families.npz", images=images, labels=labels, traits=traits_of(people))
    crowd_images, crowd_labels = draw_crowds(seed, crowds)
    np.savez(folder / "crowds.npz", images=crowd_images, labels=crowd_labels)


TRAIT_NAMES = ("kind", "pattern", "accessory", "mark")
TRAIT_COLOURS = ("colour", "pattern_colour", "accessory_colour", "mark_colour")


def traits_of(people: list[list[Character]]) -> npt.NDArray[np.int64]:
    """N × members × 16: four attributes by index, then four colours as red, green, blue."""
    return np.array([[_traits(member) for member in family] for family in people], np.int64)


def _traits(character: Character) -> list[int]:
    indices = [LABELS[name].index(getattr(character, name)) for name in TRAIT_NAMES]
    colours = [rgb(getattr(character, name)) for name in TRAIT_COLOURS]
    return [*indices, *(channel for colour in colours for channel in colour)]
