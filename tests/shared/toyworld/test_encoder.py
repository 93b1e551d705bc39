"""The measuring encoder: reads what was drawn, tells characters apart, is not fooled by colours."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fedshow.toyworld.encoder import LABELS, ToyworldEncoder, load_encoder, to_pixels
from fedshow.toyworld.heldout import HELDOUT, draw_heldout
from fedshow.toyworld.scenes import draw
from fedshow.toyworld.training.identities import identity_character, likeness, relative, traits_of
from fedshow.toyworld.training.junk import spoil
from fedshow.toyworld.training.likeness import likeness_matrix
from fedshow.toyworld.world import PLACES, Character, Scene, any_character


@pytest.fixture(scope="module")
def encoder() -> ToyworldEncoder:
    return load_encoder()


def lone_scenes(count: int) -> list[Scene]:
    rng = random.Random(11)
    return [Scene(PLACES[i % len(PLACES)], (any_character(rng),)) for i in range(count)]


def pictures(scenes: list[Scene], seed: int = 0) -> list[Image.Image]:
    rng = random.Random(seed)
    return [draw(scene, rng).image for scene in scenes]


def test_attributes_of_drawn_pictures_are_read_right(encoder: ToyworldEncoder) -> None:
    scenes = lone_scenes(150)
    read = encoder.attributes(pictures(scenes))
    for name, floor in (("kind", 0.97), ("colour", 0.95), ("pattern", 0.95), ("accessory", 0.95)):
        wanted = [getattr(scene.characters[0], name) for scene in scenes]
        assert np.mean([a == b for a, b in zip(read[name].labels, wanted, strict=True)]) >= floor
    assert list(read["place"].labels) == [scene.place for scene in scenes]
    assert set(read["count"].labels) == {"1"}


def test_probabilities_belong_to_the_labels(encoder: ToyworldEncoder) -> None:
    read = encoder.attributes(pictures(lone_scenes(4)))
    for name, labels in LABELS.items():
        probabilities = read[name].probabilities
        assert probabilities.shape == (4, len(labels))
        assert torch.allclose(probabilities.sum(1), torch.ones(4))
        assert read[name].labels == tuple(labels[i] for i in probabilities.argmax(1))


def test_heldout_characters_are_told_apart(encoder: ToyworldEncoder) -> None:
    rng = random.Random(12)
    drawn = {name: [p.image for p, _ in draw_heldout(name, 12, rng)] for name in HELDOUT}
    identities = {name: encoder.identity(images) for name, images in drawn.items()}
    centres = torch.stack([i[:6].mean(0) for i in identities.values()])
    right = [
        (known[6:] @ centres.T).argmax(1) == number
        for number, known in enumerate(identities.values())
    ]
    assert torch.cat(right).float().mean() >= 0.95


def test_identity_fades_as_characters_lose_what_makes_them(encoder: ToyworldEncoder) -> None:
    """The mean over all held-out characters: whole, without one thing, bare, another one."""

    def cosine(character: Character, changed: Character) -> float:
        first, second = (
            encoder.identity(pictures([Scene(place, (c,)) for place in PLACES[:3]], seed))
            for seed, c in ((4, character), (3, changed))
        )
        return float((first @ second.T).mean())

    def mean(change: Callable[[Character], Character]) -> float:
        pairs = [(c, change(c)) for c in HELDOUT.values()]
        return float(np.mean([cosine(*pair) for pair in pairs]))

    whole = mean(lambda c: c)
    less = mean(lambda c: replace(c, mark="none", accessory="none"))
    bare = mean(lambda c: Character(c.kind, c.colour))
    kin = mean(lambda c: Character(c.kind, "blue" if c.colour == "orange" else "orange"))
    assert whole > 0.85
    assert whole > less + 0.1 > bare + 0.1
    assert bare > kin + 0.1
    assert kin < 0.4


def test_coloured_junk_is_not_real(encoder: ToyworldEncoder) -> None:
    images = pictures(lone_scenes(70))
    junk = spoil(to_pixels(images), torch.Generator().manual_seed(0))
    assert (encoder.realness(images) > 0.5).float().mean() >= 0.97
    assert (encoder.realness(junk.add(1).div(2)) > 0.5).float().mean() <= 0.1


def test_empty_places_are_not_real(encoder: ToyworldEncoder) -> None:
    assert encoder.realness(pictures([Scene(place) for place in PLACES])).max() < 0.5


def test_pictures_of_any_form_measure_the_same(encoder: ToyworldEncoder) -> None:
    images = pictures(lone_scenes(3))
    whole = torch.from_numpy(np.stack([np.asarray(i) for i in images])).permute(0, 3, 1, 2)
    forms: list[list[Image.Image] | Tensor] = [images, whole, whole.float() / 255]
    results = [encoder.identity(form) for form in forms]
    assert torch.allclose(results[0], results[1], atol=1e-5)
    assert torch.allclose(results[0], results[2], atol=1e-5)
    large = [image.resize((96, 96), Image.Resampling.NEAREST) for image in images]
    assert (encoder.identity(large) * results[0]).sum(1).min() > 0.9
    assert torch.allclose(results[0].norm(dim=1), torch.ones(3))


def test_likeness_in_a_batch_is_likeness_one_by_one() -> None:
    rng = random.Random(0)
    people = [identity_character(rng) for _ in range(12)]
    people += [relative(person, rng) for person in people]
    matrix = likeness_matrix(torch.from_numpy(traits_of([people])[0]))
    for i, first in enumerate(people):
        for j, second in enumerate(people):
            assert float(matrix[i, j]) == pytest.approx(likeness(first, second), abs=1e-4)


def test_training_identities_leave_out_the_heldout() -> None:
    rng = random.Random(5)
    assert not {identity_character(rng) for _ in range(3000)} & set(HELDOUT.values())
