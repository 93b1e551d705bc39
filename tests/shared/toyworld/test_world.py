"""The drawn world: repeatable, truthful, and silent about what is held out."""

from __future__ import annotations

import random

import numpy as np
import pytest

from fedshow.toyworld.captions import PLACE_PHRASES, caption, full_caption
from fedshow.toyworld.heldout import (
    HELDOUT,
    HELDOUT_COMBINATIONS,
    draw_heldout,
    training_character,
    training_scene,
)
from fedshow.toyworld.scenes import draw
from fedshow.toyworld.world import (
    ACCESSORIES,
    COLOURS,
    KINDS,
    PATTERNS,
    PLACES,
    Character,
    Scene,
    heldout_pair,
    heldout_place,
    heldout_singles,
    wide_character,
)


def scenes(count: int, seed: int = 0) -> list[Scene]:
    rng = random.Random(seed)
    return [training_scene(rng) for _ in range(count)]


def test_one_seed_gives_one_picture() -> None:
    scene = Scene("beach", (HELDOUT["pip"], HELDOUT["bolt"]))
    first, again = (draw(scene, random.Random(5)) for _ in range(2))
    other = draw(scene, random.Random(6))
    assert np.array_equal(first.array(), again.array())
    assert first.boxes == again.boxes
    assert not np.array_equal(first.array(), other.array())


def test_one_seed_gives_one_run_of_scenes_and_captions() -> None:
    def captions() -> list[str]:
        rng = random.Random(3)
        return [caption(training_scene(rng), rng) for _ in range(50)]

    assert scenes(50) == scenes(50)
    assert captions() == captions()


@pytest.mark.parametrize("size", [16, 32, 64])
def test_pictures_have_the_size_asked_for(size: int) -> None:
    picture = draw(Scene("night", (HELDOUT["luna"],)), random.Random(0), size)
    assert picture.image.size == picture.masks[0].size == picture.outline.size == (size, size)


def test_training_never_draws_what_is_held_out() -> None:
    for scene in scenes(4000):
        for character in scene.characters:
            assert character.mark == "none"
            assert character.combination not in HELDOUT_COMBINATIONS
            assert character not in HELDOUT.values()
        if len(scene.characters) == 1:
            (character,) = scene.characters
            assert heldout_place(character.kind, character.colour) != scene.place
        if len(scene.characters) == 2:
            assert not heldout_pair(*scene.characters)


def test_training_draws_everything_else() -> None:
    characters = [training_character(random.Random(i)) for i in range(2000)]
    assert {c.kind for c in characters} == set(KINDS)
    assert {c.colour for c in characters} == set(COLOURS)
    assert {c.pattern for c in characters} == set(PATTERNS)
    assert {c.accessory for c in characters} == set(ACCESSORIES)
    assert {scene.place for scene in scenes(200)} == set(PLACES)


def test_every_kind_and_colour_has_one_heldout_place() -> None:
    assert len(set(heldout_singles())) == len(KINDS) * len(COLOURS)
    assert {place for _, _, place in heldout_singles()} == set(PLACES)


def test_captions_say_nothing_untrue() -> None:
    rng = random.Random(1)
    for scene in scenes(2000):
        text = f" {caption(scene, rng)} "
        said = {word for word in COLOURS if f" {word} " in text}
        colours = {c.colour for c in scene.characters}
        colours |= {c.accessory_colour for c in scene.characters if c.accessory != "none"}
        assert said <= colours
        for words, name in ((KINDS, "kind"), (PATTERNS, "pattern"), (ACCESSORIES, "accessory")):
            mentioned = {word for word in words if f" {word} " in text} - {"plain"}
            assert mentioned <= {getattr(c, name) for c in scene.characters}
        for place, phrases in PLACE_PHRASES.items():
            assert place == scene.place or not any(f" {p} " in text for p in phrases)


def test_captions_tell_left_from_right() -> None:
    rng = random.Random(2)
    scene = Scene("snow", (Character("robot", "red"), Character("bunny", "pink")))
    for _ in range(100):
        text = full_caption(scene, rng)
        robot_first = text.index("robot") < text.index("bunny")
        assert robot_first == ("to the right of" not in text)


def test_captions_take_simple_forms() -> None:
    rng = random.Random(4)
    told = {caption(scene, rng) for scene in scenes(20_000)}
    assert {"a robot", "photo of a monster", "a character", "a photo of a kitten"} <= told
    assert "a bunny on the beach" in told


def test_masks_cover_the_character() -> None:
    """Where two pictures differ only by the character, its mask is on, and nowhere else."""
    plain, red = (Scene("plain", (Character("chick", colour),)) for colour in ("blue", "red"))
    first, second = (draw(scene, random.Random(8)) for scene in (plain, red))
    changed = np.abs(first.array().astype(int) - second.array()).max(-1) > 40
    inside = np.asarray(first.masks[0])
    assert changed.sum() > 100
    assert inside[changed].min() > 0
    assert (inside > 250).sum() > 0.5 * (inside > 0).sum()


def test_boxes_and_masks_keep_left_and_right_apart() -> None:
    picture = draw(Scene("grass", (HELDOUT["echo"], HELDOUT["mochi"])), random.Random(1))
    (_, _, left_end, _), (right_start, _, _, _) = picture.boxes
    assert left_end <= right_start + 2
    assert np.minimum(*(np.asarray(mask) for mask in picture.masks)).max() < 255


def test_outline_follows_the_mask() -> None:
    picture = draw(Scene("plain", (Character("robot", "green"),)), random.Random(0))
    outline, mask = np.asarray(picture.outline), np.asarray(picture.masks[0])
    assert outline.max() > 200
    assert not outline[mask == 0].any()
    left, top, right, bottom = picture.boxes[0]
    assert outline[(top + bottom) // 2, (left + right) // 2] == 0


def test_heldout_characters_come_on_varied_places() -> None:
    pictures = draw_heldout("gloop", 8, random.Random(0))
    assert len({picture.scene.place for picture, _ in pictures}) == len(PLACES)
    for picture, text in pictures:
        assert " monster " in f" {text} "
        assert len(picture.masks) == 1


def test_there_are_enough_heldout_characters_of_every_kind() -> None:
    assert len(HELDOUT) >= 24
    assert len(set(HELDOUT.values())) == len(HELDOUT)
    assert {c.kind for c in HELDOUT.values()} == set(KINDS)


def test_wide_characters_go_beyond_the_vocabulary() -> None:
    characters = [wide_character(random.Random(i)) for i in range(200)]
    assert any(c.colour not in COLOURS for c in characters)
    assert any(c.mark != "none" for c in characters)
