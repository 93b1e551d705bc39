"""The study rests on these: concepts that nobody was trained on, readable prompts, results kept for good."""

import gc
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.study import tables
from benchmarks.study.questions import experiments, fusion
from benchmarks.study.study import Study
from benchmarks.study.toyworld import alike, failures, prompts
from benchmarks.study.toyworld.concepts import (
    CONCEPTS,
    GROUPS,
    ROBOTS,
    SETS_OF,
    SIZES,
    draw_folder,
    sets,
)
from benchmarks.study.toyworld.extents import FULL
from benchmarks.study.toyworld.eye import retrieval
from benchmarks.study.toyworld.legible import legible
from benchmarks.study.toyworld.page import page
from benchmarks.study.toyworld.study import of_toyworld
from benchmarks.study.tuning import file_of, tune
from fedshow.demo.folders import Person, draw_images
from fedshow.families import Base
from fedshow.toyworld.encoder import LABELS, load_encoder
from fedshow.toyworld.heldout import is_heldout_character
from fedshow.toyworld.world import KINDS, PLACES, Character
from fedshow_client.tuning.data.folder import scan
from fedshow_client.tuning.trainer import Trainer


def test_24_concepts_in_three_groups_none_of_which_was_ever_trained_on() -> None:
    assert len(CONCEPTS) == 24
    assert len({concept.looks for concept in CONCEPTS.values()}) == 24
    sizes = Counter(concept.group for concept in CONCEPTS.values())
    assert [sizes[group] for group in GROUPS] == [12, 6, 6]
    for concept in CONCEPTS.values():
        if isinstance(concept.looks, Character):
            assert is_heldout_character(concept.looks)
        else:
            assert concept.looks.kind not in (*KINDS, *PLACES), "the base has drawn such things"
    rng = random.Random(0)
    shown = [alike.relative(alike.anything(rng), rng) for _ in range(300)]
    assert max(alike.likeness(own, other) for own in alike.HELDOUT for other in shown) < 0.95


def test_half_of_every_set_is_of_one_class() -> None:
    assert len(ROBOTS) == 8
    for size in SIZES:
        found = sets(size)
        names = [name for members in found for name in members]
        assert len(names) == len(set(names)) == size * SETS_OF[size]
        for members in found:
            robots = sum(name in ROBOTS for name in members)
            assert robots == (size if size == 2 else size // 2)


def test_characters_are_drawn_as_every_benchmark_draws_them(tmp_path: Path) -> None:
    theirs = Person("bench", "bolt", tmp_path / "theirs")
    draw_images(theirs, 0)
    own = draw_folder(CONCEPTS["bolt"], tmp_path / "own")
    for path in theirs.images.glob("*.png"):
        assert np.array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(own / path.name)))


def test_scenes_have_no_masks_and_some_have_somebody_in_them(tmp_path: Path) -> None:
    found = scan(draw_folder(CONCEPTS["lagoon"], tmp_path)).accepted
    assert len(found) == 8
    assert all(image.mask is None and "<lagoon>" in (image.caption or "") for image in found)
    assert sum("empty" in (image.caption or "") for image in found) == 5


def test_prompts_vary_four_things_and_ask_for_what_can_be_read(base: Base) -> None:
    tokenizer = base.text_encoders[0].tokenizer
    for name in CONCEPTS:
        found = prompts.prompts_of(name)
        assert len({prompt.text for prompt in found}) == 20
        counts = {kind: sum(p.type == kind for p in found) for kind in prompts.TYPES}
        assert counts == prompts.NUMBERS
        for prompt in found:
            words = prompt.text.replace(f"<{name}>", "kitten").split()
            assert len(tokenizer.tokenize(" ".join(words))) == len(words), prompt.text
            assert prompt.asks
            assert all(ask.label in LABELS[ask.attribute] for ask in prompt.asks)


def test_what_is_asked_for_can_be_read_in_drawings() -> None:
    read = legible(["bolt", "drum"], Path())
    assert all(value > 0.5 for group in read.values() for value in group.values())
    told = retrieval(load_encoder(), ["bolt", "rusty", "pip"], views=4)
    assert told["top1"] > 0.8
    assert told["margin"] > 0.1


def row(*scores: float) -> dict[str, Any]:
    return {"identity": list(scores), "text": [0.5] * len(scores)}


def test_identity_kept_counts_every_concept_once() -> None:
    single = {("ed-lora", "a"): row(0.8, 0.8), ("ed-lora", "b"): row(0.4, 0.4)}
    fused = {
        ("ed-lora", "gradient", ("a", "b")): {"concepts": {"a": row(0.8, 0.8), "b": row(0.2, 0.2)}},
        ("ed-lora", "gradient", ("a", "c")): {"concepts": {"a": row(0.4, 0.4)}},
    }
    overall = fusion._overall(single, fused, "ed-lora", "gradient")
    assert overall["kept"]["value"] == pytest.approx((0.6 + 0.2) / (0.8 + 0.4))
    assert overall["text_kept"]["value"] == pytest.approx(1)


def test_one_value_is_more_than_another_only_when_their_intervals_lie_apart() -> None:
    low, middle = ({"value": v, "low": v - 0.1, "high": v + 0.1} for v in (0.2, 0.3))
    assert not tables.apart(middle, low)
    assert tables.apart({"value": 0.5, "low": 0.45, "high": 0.6}, middle)
    assert not tables.apart({"value": 0.9, "low": None, "high": None}, low)


def test_a_concept_is_cut_to_its_strongest_ranks() -> None:
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(8, 2))[0] for _ in range(2))
    up, down = left * torch.tensor([3.0, 0.5]), right.T
    tensors = {"l.lora_A.weight": down, "l.lora_B.weight": up, "tokens.w": torch.ones(2, 4)}
    found = experiments.lowered(tensors, 1)
    assert found["l.lora_A.weight"].shape == (1, 8)
    assert torch.equal(found["tokens.w"], tensors["tokens.w"])
    strongest = found["l.lora_B.weight"] @ found["l.lora_A.weight"]
    torch.testing.assert_close(strongest, 3 * torch.outer(left[:, 0], right[:, 0]))


def test_a_layer_is_of_one_kind_for_the_experiment(base: Base) -> None:
    kinds = [
        [kind for kind, pattern in experiments.KINDS.items() if re.search(pattern, layer)]
        for layer in base.card.layers
    ]
    assert {len(found) for found in kinds} == {1}
    assert {kind for found in kinds for kind in found} == set(experiments.KINDS)


def test_boxes_that_overlap_share_as_many_columns_as_they_should() -> None:
    for shared in failures.OVERLAPS:
        left, right = failures.overlapping(shared)
        assert (left[2] - right[0]) * failures.WIDTH == pytest.approx(shared)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A slice of all five questions, answered."""
    found = of_toyworld(tmp_path_factory.mktemp("study"), "cpu", 0, tiny=True)
    found.answer()
    return found


def test_every_question_is_answered_and_every_table_shown(study: Study, tmp_path: Path) -> None:
    figures = study.figures()
    assert study.is_whole()
    assert set(figures["seconds_of"]) == {"eye", *study.questions}
    assert figures["questions"] == 5
    assert {"kept_ed_lora_gradient", "kept_ed_lora_average", "kept_lora_average"} <= set(figures)
    written = page.write_page(study.bench, figures, tmp_path).read_text()
    for number in range(1, 6):
        assert f"## Q{number}" in written
    for name in (
        "textual-inversion",
        "lora average",
        "regions with windows",
        "regularised attention",
    ):
        assert name in written
    images = sorted((tmp_path / "images").glob("study-*.png"))
    assert [f"images/{path.name}" in written for path in images] == [True] * 10
    assert all(path.stat().st_size < 200_000 for path in images)


def test_nothing_of_a_tuning_stays_in_memory(study: Study) -> None:
    tune(study.bench, "p-plus", "bolt")
    assert not [one for one in gc.get_objects() if type(one) is Trainer]


def test_a_killed_study_goes_on_where_it_was(study: Study) -> None:
    runs = study.bench.work / "runs.jsonl"
    before = runs.read_text()
    study.answer(["methods", "fusion", "parts"])
    assert runs.read_text() == before, "all of it was there"
    file_of("p-plus", "bolt", study.bench.work).unlink()
    study.answer(["methods"])
    added = runs.read_text().removeprefix(before).splitlines()
    assert len(added) == 1, "the lost file alone; from the same seed it is the same"


def test_the_whole_study_measures_all_concepts_and_rules() -> None:
    assert len(FULL.names) == 24
    assert len(FULL.subset) == 12
    assert {"gradient", "average", "lbfgs", "sum", "ties", "dare", "subspace"} <= set(FULL.rules)
    members = [name for found in FULL.part_sets for name in found]
    assert sorted(members) == sorted(FULL.subset)
