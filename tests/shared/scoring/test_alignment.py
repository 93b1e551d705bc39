"""Alignment and drift: what is right scores above what is wrong."""

import random
from pathlib import Path

import pytest
import torch
from PIL import Image

from fedshow.errors import InvalidInput
from fedshow.scoring.alignment import (
    alignment_among,
    feature_drift,
    image_alignment,
    region_alignment,
    squared_drift,
    text_alignment,
    with_class,
)
from fedshow.scoring.prompts import PROMPTS, TOYWORLD_PROMPTS, read_prompts, said_of
from fedshow.scoring.scorers import ToyworldScorer
from fedshow.toyworld.heldout import draw_heldout

CLASSES = {"gloop": "monster", "luna": "kitten"}


@pytest.fixture(scope="module")
def scorer() -> ToyworldScorer:
    return ToyworldScorer()


def pictures(name: str, seed: int, count: int = 3) -> list[Image.Image]:
    return [p.image for p, _ in draw_heldout(name, count, random.Random(seed), places=["beach"])]


def test_pictures_of_the_concept_are_nearer_than_others(scorer: ToyworldScorer) -> None:
    reference = scorer.features(pictures("gloop", 1))
    own, other = (scorer.features(pictures(name, 2)) for name in ("gloop", "luna"))
    assert image_alignment(own, reference).min() > image_alignment(other, reference).max() + 0.2


def test_what_is_among_the_references_is_without_each_itself() -> None:
    assert alignment_among(torch.eye(3)) == pytest.approx(0, abs=1e-6)
    assert alignment_among(torch.tensor([[1.0, 0.0], [0.6, 0.8]])) == pytest.approx(0.6)
    assert alignment_among(torch.eye(3)[:1]) is None


def test_texts_are_read_with_the_class_in_the_concepts_place(scorer: ToyworldScorer) -> None:
    images = pictures("gloop", 2)
    right = text_alignment(scorer, images, ["a <gloop> on the beach"] * 3, CLASSES)
    wrong = text_alignment(scorer, images, ["a <luna> on the beach"] * 3, CLASSES)
    assert right is not None
    assert wrong is not None
    assert right.min() > wrong.max()
    assert with_class("a <luna> and a <gloop>", CLASSES) == "a kitten and a monster"


def test_regions_are_held_against_their_own_concepts(scorer: ToyworldScorer) -> None:
    references = {name: scorer.features(pictures(name, 1)) for name in CLASSES}
    crops = scorer.features([*pictures("gloop", 2, 1), *pictures("luna", 2, 1)])
    own, nearest = region_alignment(crops, ["gloop", "luna"], references)
    swapped, strange = region_alignment(crops, ["luna", "gloop"], references)
    assert nearest == [True, True]
    assert strange == [False, False]
    assert own.min() > swapped.max()


def test_drift_is_none_for_the_same_and_full_for_the_opposite() -> None:
    black, white, grey = (Image.new("RGB", (4, 4), (tone,) * 3) for tone in (0, 255, 51))
    found = squared_drift([black, white, grey], [black, black, black])
    assert found.tolist() == pytest.approx([0, 1, 0.04])
    features = torch.eye(2)
    assert feature_drift(features, features).tolist() == [0, 0]
    assert feature_drift(features, features.flip(0)).tolist() == [1, 1]


def test_there_are_twenty_prompts_for_everything() -> None:
    for prompts in (PROMPTS, TOYWORLD_PROMPTS):
        assert len({*prompts}) == 20
        assert all(prompt.count("{}") == 1 for prompt in prompts)
    assert said_of(("a {} here",), "<gloop>") == ["a <gloop> here"]


def test_prompts_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("a {} at sea\n\n  the {}\n")
    assert read_prompts(file) == ("a {} at sea", "the {}")


@pytest.mark.parametrize("content", ["", "\n", "a {}\na cat\n", "{}\n" * 1001, None])
def test_prompts_that_cannot_be_are_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "prompts.txt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidInput, match=r"prompts\.txt"):
        read_prompts(file)
