"""Captions: what can be said of a scene. Everything said is true; much is left unsaid."""

from __future__ import annotations

import random

from fedshow.toyworld.world import COLOURS, Character, Scene

PLACE_PHRASES: dict[str, tuple[str, ...]] = {
    "beach": ("on the beach", "on a beach", "at the beach"),
    "grass": ("on grass", "on the grass", "in a meadow"),
    "snow": ("in the snow", "in snow", "on snow"),
    "night": ("at night", "in the night"),
    "desert": ("in the desert", "in a desert"),
    "plain": ("on a plain background", "on a white background"),
}
HYPERNYMS = ("character", "creature")
PREFIXES = ("a photo of ", "photo of ", "a picture of ", "a drawing of ")
_PREFIX_SHARE = 0.3


def caption(scene: Scene, rng: random.Random) -> str:
    """One true caption of the scene; it may leave out place, colours, patterns, accessories."""
    if not scene.characters:
        return _prefix(rng) + "an empty scene " + _place(scene, rng)
    bare = rng.random() < 0.1
    prefix = _prefix(rng)
    subjects = [_subject(c, rng, bare) for c in scene.characters]
    place = "" if rng.random() < 0.12 else " " + _place(scene, rng)
    return prefix + _joined(subjects, rng) + place


def caption_of_concept(scene: Scene, rng: random.Random) -> str:
    """A caption that calls the one character only by its kind, for tuning a concept."""
    return f"a {scene.characters[0].kind} {_place(scene, rng)}"


def full_caption(scene: Scene, rng: random.Random) -> str:
    """A caption that names kind, colour and place of everything, and nothing else."""
    subjects = [_article(f"{c.colour} {c.kind}") for c in scene.characters]
    return f"{_joined(subjects, rng)} {_place(scene, rng)}"


def _prefix(rng: random.Random) -> str:
    return rng.choice(PREFIXES) if rng.random() < _PREFIX_SHARE else ""


def _place(scene: Scene, rng: random.Random) -> str:
    return rng.choice(PLACE_PHRASES[scene.place])


def _joined(subjects: list[str], rng: random.Random) -> str:
    if len(subjects) == 1:
        return subjects[0]
    left, right = subjects
    orders = (f"{left} to the left of {right}", f"{right} to the right of {left}")
    return rng.choice((*orders, f"{left} and {right}"))


def _subject(character: Character, rng: random.Random, bare: bool) -> str:
    noun = rng.choice(HYPERNYMS) if rng.random() < 0.07 else character.kind
    if bare:
        return _article(noun)
    words = [noun]
    if character.pattern != "plain" and rng.random() < 0.85:
        words.insert(0, character.pattern)
    if character.colour in COLOURS and rng.random() < 0.85:
        words.insert(0, character.colour)
    return _article(" ".join(words)) + _wearing(character, rng)


def _wearing(character: Character, rng: random.Random) -> str:
    if character.accessory == "none" or rng.random() < 0.12:
        return ""
    verb = "with" if rng.random() < 0.25 else "wearing"
    return f" {verb} {_article(f'{character.accessory_colour} {character.accessory}')}"


def _article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase
