"""Shares of regions on every grid, against a slow reference that looks at one cell after another."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from fedshow.sampling.coverage import coverage, shares
from fedshow.sampling.regions import Box, Overlap, Region

fraction = st.floats(0, 1, allow_nan=False)
edges = st.integers(1, 17)
OVERLAPS: tuple[Overlap, ...] = ("average", "priority")


def boxed(box: Box, **options: float) -> Region:
    return Region(box=box, prompt="x", **options)  # type: ignore[arg-type]


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    (left, right), (top, bottom) = (sorted((draw(fraction), draw(fraction))) for _ in "xy")
    assume(left < right and top < bottom)
    return left, top, right, bottom


@st.composite
def masks(draw: st.DrawFn) -> Image.Image:
    height, width = draw(edges), draw(edges)
    values = draw(st.binary(min_size=height * width, max_size=height * width))
    assume(any(values))
    return Image.frombytes("L", (width, height), values)


@given(st.lists(boxes(), min_size=1, max_size=4), edges, edges, fraction, st.sampled_from(OVERLAPS))
def test_every_place_is_shared_out_and_no_box_is_lost(
    several: list[Box], height: int, width: int, feather: float, overlap: Overlap
) -> None:
    regions = [boxed(box, feather=feather) for box in several]
    found = shares(regions, (height, width), (8 * height, 8 * width), overlap)
    torch.testing.assert_close(found.sum(0), torch.ones(height, width))
    assert found.min() >= 0
    for region in regions:
        assert coverage(region, (height, width), (8 * height, 8 * width)).max() > 0


@given(boxes(), edges, edges)
def test_hard_box_is_the_cells_whose_middle_lies_in_it(box: Box, height: int, width: int) -> None:
    left, top, right, bottom = box

    def inside(low: float, high: float, count: int) -> list[bool]:
        found = [low <= (k + 0.5) / count < high for k in range(count)]
        nearest = min(math.floor((low + high) / 2 * count), count - 1)
        return found if any(found) else [k == nearest for k in range(count)]

    rows, columns = inside(top, bottom, height), inside(left, right, width)
    expected = [[float(row and column) for column in columns] for row in rows]
    assert coverage(boxed(box), (height, width), (height, width)).tolist() == expected


@given(masks(), edges, edges)
def test_mask_is_the_mean_of_its_pixels_and_never_lost(
    mask: Image.Image, height: int, width: int
) -> None:
    pixels = np.asarray(mask, dtype=np.float64) / 255

    def part(k: int, count: int, length: int) -> slice:
        return slice(k * length // count, -(-(k + 1) * length // count))

    expected = np.array(
        [
            [
                pixels[part(y, height, mask.height), part(x, width, mask.width)].mean()
                for x in range(width)
            ]
            for y in range(height)
        ]
    )
    expected *= max(1.0, pixels.max() / expected.max())
    region = Region(mask=mask, prompt="x")
    found = coverage(region, (height, width), (mask.height, mask.width))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_halves_split_down_the_middle() -> None:
    halves = [boxed((0, 0, 0.5, 1)), boxed((0.5, 0, 1, 1))]
    found = shares(halves, (2, 4), (16, 32), "average")
    assert found[0].sum() == 0
    assert found[1].tolist() == [[1, 1, 0, 0]] * 2
    assert found[2].tolist() == [[0, 0, 1, 1]] * 2


def test_overlap_is_averaged_by_weights() -> None:
    regions = [boxed((0, 0, 1, 1)), boxed((0, 0, 0.5, 1), weight=3.0)]
    found = shares(regions, (1, 2), (8, 16), "average")
    assert found[:, 0].tolist() == [[0, 0], [0.25, 1], [0.75, 0]]


def test_later_regions_lie_above() -> None:
    regions = [boxed((0, 0, 1, 1)), boxed((0, 0, 0.5, 1), weight=0.75)]
    found = shares(regions, (1, 2), (8, 16), "priority")
    assert found[:, 0].tolist() == [[0, 0], [0.25, 1], [0.75, 0]]


def test_weight_leaves_the_rest_to_the_background() -> None:
    found = shares([boxed((0, 0, 0.5, 1), weight=0.75)], (1, 2), (8, 16), "average")
    assert found[:, 0].tolist() == [[0.25, 1], [0.75, 0]]


def test_soft_edges_that_meet_leave_no_gap() -> None:
    halves = [boxed((0, 0, 0.5, 1), feather=0.5), boxed((0.5, 0, 1, 1), feather=0.5)]
    found = shares(halves, (1, 8), (8, 8), "average")
    assert found[0].abs().max() < 1e-6
    assert found[1, 0].tolist() == pytest.approx([1, 1, 0.875, 0.625, 0.375, 0.125, 0, 0])


def test_feather_is_as_wide_in_both_directions() -> None:
    soft = coverage(boxed((0.25, 0.25, 0.75, 0.75), feather=0.25), (8, 16), (64, 128))
    assert soft[:4, 8].tolist() == pytest.approx([0, 0.25, 0.75, 1])
    assert soft[4, 2:6].tolist() == pytest.approx([0, 0.25, 0.75, 1])


def test_soft_mask_spreads_around_its_edge() -> None:
    mask = Image.new("L", (32, 32))
    mask.paste(255, (0, 0, 16, 32))
    hard = coverage(Region(mask=mask, prompt="x"), (4, 32), (32, 32))
    soft = coverage(Region(mask=mask, prompt="x", feather=0.25), (4, 32), (32, 32))
    assert hard[0].tolist() == [1.0] * 16 + [0.0] * 16
    assert soft[0, :11].tolist() == [1.0] * 11
    assert 0 < soft[0, 17] < soft[0, 16] < soft[0, 15] < 1
