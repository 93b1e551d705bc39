"""Who is seen when: equally often, evenly spread, and the same for every step however it is reached."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedshow_client.tuning.data.batches import Order

counts = st.lists(st.integers(1, 9), min_size=1, max_size=5)
batches, variants, seeds = st.integers(1, 7), st.integers(1, 6), st.integers(0, 2**31)


@given(counts, variants, batches, seeds)
def test_a_cycle_shows_every_image_equally_often(
    counts: list[int], variants: int, batch: int, seed: int
) -> None:
    order = Order(counts, variants, batch, seed)
    seen: Counter[tuple[int, int]] = Counter()
    for step in range(3 * sum(counts)):
        pick = order.at(step)
        assert len(pick.rows) == len(pick.variants) == batch
        seen.update((pick.bucket, row) for row in pick.rows)
    everyone = {(bucket, row) for bucket, count in enumerate(counts) for row in range(count)}
    assert seen == dict.fromkeys(everyone, 3 * batch)


@given(counts, variants, batches, seeds)
def test_an_image_shows_all_its_variants_before_one_comes_back(
    counts: list[int], variants: int, batch: int, seed: int
) -> None:
    order = Order(counts, variants, batch, seed)
    seen: dict[tuple[int, int], list[int]] = {}
    for step in range(2 * sum(counts)):
        pick = order.at(step)
        for row, variant in zip(pick.rows, pick.variants, strict=True):
            seen.setdefault((pick.bucket, row), []).append(variant)
    for row_variants in seen.values():
        for start in range(0, len(row_variants), variants):
            chunk = row_variants[start : start + variants]
            assert len(set(chunk)) == len(chunk)


@given(st.integers(1, 12), variants, batches, seeds)
def test_with_one_size_every_epoch_shows_each_image_once(
    images: int, variants: int, batch: int, seed: int
) -> None:
    order = Order([images], variants, batch, seed)
    rows = [row for step in range(3 * images) for row in order.at(step).rows]
    for start in range(0, len(rows) - images + 1, images):
        assert sorted(rows[start : start + images]) == list(range(images))


@given(counts, variants, batches, seeds, st.integers(0, 10_000))
def test_a_step_is_the_same_whichever_steps_came_before(
    counts: list[int], variants: int, batch: int, seed: int, step: int
) -> None:
    walked = Order(counts, variants, batch, seed)
    for before in range(min(step, 30)):
        walked.at(before)
    assert walked.at(step) == Order(counts, variants, batch, seed).at(step)


@given(counts, seeds)
def test_sizes_take_turns(counts: list[int], seed: int) -> None:
    """At no point is a size more than one batch ahead of or behind its share, and the start's shift."""
    order, total = Order(counts, 2, 2, seed), sum(counts)
    done = [0] * len(counts)
    for step in range(total):
        done[order.at(step).bucket] += 1
        for bucket, count in enumerate(counts):
            assert abs(done[bucket] - (step + 1) * count / total) <= len(counts)


def test_epochs_and_seeds_differ() -> None:
    order = Order([20], 4, 20, 0)
    assert order.at(0).rows != order.at(1).rows
    assert order.at(0).rows != Order([20], 4, 20, 1).at(0).rows


@pytest.mark.parametrize("batch", [1, 4])
def test_a_lone_size_does_not_starve_the_others(batch: int) -> None:
    order = Order([1, 7], 3, batch, 0)
    picks = [order.at(step).bucket for step in range(80)]
    assert picks.count(0) == 10


def test_rounds_and_cycles_come_in_ever_new_order() -> None:
    alone = Order([1], 8, 8, 0)
    assert alone.at(0).variants != alone.at(1).variants
    mixed = Order([3, 4, 5], 1, 1, 0)
    cycles = {tuple(mixed.at(12 * n + k).bucket for k in range(12)) for n in range(10)}
    assert len(cycles) > 1
