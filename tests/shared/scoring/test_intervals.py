"""Intervals: they hold the truth as often as they say, and pairs are told apart from chance."""

import numpy as np
import pytest

from fedshow.scoring.intervals import (
    Interval,
    difference_interval,
    mean_interval,
    ratio_interval,
)


def scores(rng: np.random.Generator, mean: float = 0.8) -> np.ndarray:
    """A table with prompts that are harder than others, seeds that are worse, and noise."""
    prompts, seeds = rng.normal(0, 0.1, (20, 1)), rng.normal(0, 0.05, (1, 25))
    return mean + prompts + seeds + rng.normal(0, 0.1, (20, 25))


def holds(found: Interval, truth: float) -> bool:
    assert found.low is not None
    assert found.high is not None
    return found.low <= truth <= found.high


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    share = np.mean([holds(mean_interval(scores(rng)), 0.8) for _ in range(300)])
    assert 0.90 <= share <= 0.99


def test_pictures_of_one_prompt_are_no_new_evidence() -> None:
    """Twenty scores seen fifty times each are as uncertain as seen once."""
    rng = np.random.default_rng(2)
    once = rng.normal(0.5, 0.1, (20, 1))
    few, many = mean_interval(once), mean_interval(np.repeat(once, 50, axis=1))
    assert width(many) == pytest.approx(width(few), rel=0.1)


def test_a_small_loss_shows_where_prompts_differ_more() -> None:
    rng = np.random.default_rng(3)
    before = scores(rng)
    after = before - 0.02 + rng.normal(0, 0.01, before.shape)
    loss, kept = difference_interval(after, before), ratio_interval(after, before)
    assert holds(loss, -0.02)
    assert loss.high < 0
    assert kept is not None
    assert holds(kept, after.mean() / before.mean())
    assert kept.high < 1
    assert width(loss) < width(mean_interval(before)) / 5


def test_the_same_table_has_the_same_interval() -> None:
    table = scores(np.random.default_rng(4))
    assert mean_interval(table) == mean_interval(table.tolist())
    assert mean_interval(table).value == pytest.approx(table.mean())


def test_one_picture_says_nothing_about_chance() -> None:
    assert mean_interval([[0.5]]) == Interval(0.5, None, None)


def test_of_nothing_nothing_can_be_kept() -> None:
    assert ratio_interval([[0.5, 0.4]], [[0.0, 0.0]]) is None
    assert ratio_interval([[0.5, 0.4]], [[0.4, -0.3]]) is None


def test_tables_of_other_pictures_are_not_compared() -> None:
    with pytest.raises(AssertionError):
        difference_interval([[1.0, 2.0]], [[1.0], [2.0]])


def width(found: Interval) -> float:
    assert found.low is not None
    assert found.high is not None
    return found.high - found.low
