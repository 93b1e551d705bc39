"""What the tuning benchmark says rests on these: a yardstick that learns the same, results kept for good."""

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.ledger import Ledger, work_off
from benchmarks.private_folder import candidates, person
from benchmarks.tuning import figures
from benchmarks.tuning.loops import our_trainer, plain_loop
from benchmarks.tuning.runs import Run
from fedshow.families import open_base
from fedshow_client.tuning.recipe import Recipe


def test_the_plain_loop_learns_as_many_numbers_and_as_well_as_ours(tmp_path: Path) -> None:
    someone = person("gloop", tmp_path)
    images, base = candidates(someone, captions=False), open_base("toyworld")
    recipe = Recipe.for_base(base, steps=24, variants=2)
    plain = plain_loop(base, someone, images, recipe)
    trainer = our_trainer(open_base("toyworld"), someone, images, recipe)
    numbers = sum(value.numel() for value in trainer.parameters().values())
    rows = plain.token_ids.numel() * plain.table.embedding_dim
    assert rows + sum(value.numel() for value in plain.adapters.parameters()) == numbers
    theirs = [plain.step() for _ in range(recipe.steps)]
    own = [trainer.step(number) for number in range(recipe.steps)]
    assert abs(sum(theirs) / sum(own) - 1) < 0.15
    assert sum(theirs[-8:]) < sum(theirs[:8])


def test_the_plain_loop_changes_only_the_concepts_rows(tmp_path: Path) -> None:
    someone, base = person("gloop", tmp_path), open_base("toyworld")
    recipe = Recipe.for_base(base, steps=4)
    plain = plain_loop(base, someone, candidates(someone, True), recipe)
    for _ in range(3):
        plain.step()
    changed = (plain.table.weight != plain.original).any(1)
    assert torch.equal(changed, ~plain.others)


def double(number: int, seen: Path) -> dict[str, Any]:
    with seen.open("a") as file:
        file.write(f"{number}\n")
    return {"twice": 2 * number}


def nothing() -> None:
    """What a worker starts with here."""


def test_a_result_that_is_there_is_never_made_again(tmp_path: Path) -> None:
    seen, path = tmp_path / "seen", tmp_path / "runs.jsonl"
    tasks = [({"number": number}, double, (number, seen)) for number in (1, 2)]
    work_off(Ledger(path), tasks[:1], 1, nothing)
    path.write_text(path.read_text() + '{"key": {"number": 2}, "res')  # killed while writing
    again = Ledger(path)
    assert again.get({"number": 2}) is None
    work_off(again, tasks, 1, nothing)
    assert seen.read_text() == "1\n2\n"
    assert Ledger(path).get({"number": 2}) == {"twice": 4}


def result(identity: float, points: list[tuple[int, float]] | None = None) -> dict[str, Any]:
    scores = {"identity": identity, "place": 1.0, "real": 1.0}
    course = [{"step": s, "seconds": float(s), "identity": i} for s, i in points or []]
    return {"scores": {"1": scores}, "seconds": 1.0, "loss": 1.0, "parameters": 1, "points": course}


def test_methods_are_compared_in_pairs_of_one_character_and_seed() -> None:
    ours = [(Run(c, "ed-lora", s), result(0.8 + s / 10)) for c in "ab" for s in (0, 1)]
    others = [(Run(c, "lora", s), result(0.6 + s / 10)) for c in "ab" for s in (0, 1)]
    table = figures.by_method([*ours, *others], seeds=(0, 1))
    assert table["lora"]["ours_better_by"] == pytest.approx(0.2)
    assert table["lora"]["ours_better_by_error"] == pytest.approx(0)
    assert table["lora"]["ours_better_in"] == table["lora"]["runs"] == 4
    assert table["lora"]["identity_seed_deviation"] == pytest.approx(0.05 * 2**0.5)


def test_a_run_has_arrived_when_no_later_score_is_lower_again() -> None:
    course = [(25, 0.7), (50, 0.79), (75, 0.6), (100, 0.79), (200, 0.8)]
    found = figures.course([(Run("a", "ed-lora", points=(25,)), result(0.8, course))])
    assert found["steps_to_near"] == 100
