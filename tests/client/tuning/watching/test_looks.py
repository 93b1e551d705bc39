"""Which look is the best, and what is left of looks after a kill."""

from pathlib import Path

import pytest

from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.watching.looks import (
    History,
    Look,
    best,
    load_history,
    looks_since_best,
)
from fedshow_client.tuning.watching.settings import MOST, SHARE, WatchSettings


def look(step: int, *scores: float, text: tuple[float, ...] = ()) -> Look:
    zeros = [0.0] * len(scores)
    return Look(step, [zeros, zeros, list(scores)], [zeros, zeros, list(text)] if text else [])


def best_step(*looks: Look) -> int | None:
    found = best(looks)
    return found.step if found else None


def test_the_highest_is_best_when_the_others_are_clearly_below() -> None:
    assert best_step(look(1, 0.5, 0.6), look(2, 0.8, 0.9), look(3, 0.6, 0.7)) == 2


def test_among_equals_the_latest_is_best() -> None:
    assert best_step(look(1, 0.800, 0.9), look(2, 0.795, 0.9), look(3, 0.79, 0.9)) == 3


def test_small_losses_do_not_add_up() -> None:
    """Each is equal to the one before, the last is not equal to the first."""
    falling = [look(step, 0.9 - 0.01 * step) for step in range(5)]
    assert best_step(*falling) == 1


def test_a_loss_on_some_prompts_and_a_gain_on_others_is_chance() -> None:
    assert best_step(look(1, 0.9, 0.5), look(2, 0.5, 0.8)) == 2
    assert best_step(look(1, 0.9, 0.8), look(2, 0.8, 0.7)) == 1


def test_ignoring_the_prompt_costs_as_much_as_being_nobody() -> None:
    balanced = look(1, 0.8, 0.8, text=(0.8, 0.8))
    assert best_step(balanced, look(2, 0.9, 0.9, text=(0.4, 0.4))) == 1
    assert best_step(balanced, look(2, 0.4, 0.4, text=(0.9, 0.9))) == 1


def test_the_choice_does_not_depend_on_the_scale_of_an_encoder() -> None:
    """CLIP's cosines with text lie around 0.3, toyworld's probabilities near 1."""
    for scale in (1.0, 0.3):
        first = look(1, 0.80, 0.81, text=(0.6 * scale, 0.6 * scale))
        second = look(2, 0.70, 0.71, text=(0.9 * scale, 0.9 * scale))
        assert best_step(first, second) == 2
        assert best_step(second, first) == 2


def test_a_negative_cosine_is_no_likeness() -> None:
    assert best_step(look(1, 0.1, 0.1), look(2, -0.2, -0.3)) == 1


def test_without_scores_there_is_no_best() -> None:
    assert best_step() is None
    assert best_step(Look(1), Look(2)) is None
    assert looks_since_best([Look(1)]) == 0


def test_patience_counts_looks_in_a_row_below_the_best() -> None:
    high, low = look(1, 0.9), look(2, 0.5)
    assert looks_since_best([high]) == 0
    assert looks_since_best([high, low, look(3, 0.6)]) == 2
    assert looks_since_best([high, low, look(3, 0.895)]) == 0


def test_looks_after_the_checkpoint_are_made_again(tmp_path: Path) -> None:
    looks = [look(10, 0.5), look(20, 0.6), look(30, 0.7)]
    History("run", looks).save(tmp_path)
    assert load_history(tmp_path, "run", 20).looks == looks[:2]
    assert load_history(tmp_path, "other run", 20).looks == []
    assert load_history(tmp_path / "nothing", "run", 20).looks == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"looks": [{"stop": 1}], "run": "run"}'])
def test_a_broken_file_of_looks_is_no_looks(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "looks.json").write_bytes(content)
    assert load_history(tmp_path, "run", 99).looks == []


def test_by_default_looks_take_their_share_of_the_time_and_no_more() -> None:
    settings, recipe = WatchSettings(), Recipe(steps=800)
    interval = settings.interval(recipe, cost=30)
    assert interval == 200
    assert recipe.steps / interval * 30 <= SHARE * recipe.steps
    assert Recipe(steps=800).steps / settings.interval(recipe, cost=0.01) == MOST


def test_short_runs_have_no_looks_unless_they_are_asked_for() -> None:
    recipe = Recipe(steps=20)
    assert WatchSettings().interval(recipe, cost=15) == 0
    assert WatchSettings(sample_steps=5).interval(recipe, cost=15) == 5
    assert WatchSettings(samples=False, sample_steps=5).interval(recipe, cost=15) == 0
