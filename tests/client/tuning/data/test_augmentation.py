"""The crops that tuning sees: subject inside, nothing stretched, evenly spread, the same every time."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from fedshow_client.tuning.data.augmentation import (
    Crop,
    Freedom,
    cover_scale,
    plan_crops,
    zoom_range,
)
from fedshow_client.tuning.data.frames import Frame, Size
from fedshow_client.tuning.data.masks import Box

edges = st.integers(16, 3000)
sizes = st.tuples(edges, edges)
frames = st.sampled_from([*Frame(512, 64).sizes(2.0), (32, 32), (24, 40)])
freedoms = st.builds(Freedom, st.floats(0.3, 1), st.floats(1, 4), st.booleans())


@st.composite
def pictures_with_subject(draw: st.DrawFn) -> tuple[Size, Box]:
    width, height = draw(sizes)
    left, top = draw(st.integers(0, width - 2)), draw(st.integers(0, height - 2))
    right, bottom = draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))
    return (width, height), (left, top, right, bottom)


def inside(crop: Crop, picture: Size) -> bool:
    left, top, right, bottom = crop.part
    return 0 <= left < right <= picture[0] and 0 <= top < bottom <= picture[1]


@given(pictures_with_subject(), frames, freedoms, st.integers(1, 9), st.integers(0, 99))
def test_the_subject_is_inside_whenever_it_fits(
    drawn: tuple[Size, Box], frame: Size, freedom: Freedom, count: int, seed: int
) -> None:
    picture, box = drawn
    least = cover_scale(picture, frame) * freedom.zoom_out
    fits = (box[2] - box[0]) * least <= frame[0] and (box[3] - box[1]) * least <= frame[1]
    for crop in plan_crops(picture, box, frame, freedom, count, str(seed)):
        assert inside(crop, picture)
        if fits:
            assert crop.part[0] <= box[0] + 1e-6
            assert crop.part[1] <= box[1] + 1e-6
            assert crop.part[2] >= box[2] - 1e-6
            assert crop.part[3] >= box[3] - 1e-6


@given(pictures_with_subject(), frames, freedoms, st.integers(0, 99))
def test_a_subject_that_does_not_fit_fills_the_crop(
    drawn: tuple[Size, Box], frame: Size, freedom: Freedom, seed: int
) -> None:
    picture, box = drawn
    for crop in plan_crops(picture, box, frame, freedom, 3, str(seed)):
        for low, high in ((0, 2), (1, 3)):
            if crop.part[high] - crop.part[low] < box[high] - box[low]:
                assert crop.part[low] >= box[low] - 1e-6
                assert crop.part[high] <= box[high] + 1e-6


@given(sizes, frames, freedoms, st.integers(1, 9), st.integers(0, 99))
def test_both_axes_have_one_scale_up_to_a_rounded_pixel(
    picture: Size, frame: Size, freedom: Freedom, count: int, seed: int
) -> None:
    for crop in plan_crops(picture, None, frame, freedom, count, str(seed)):
        across, down = crop.place[2] - crop.place[0], crop.place[3] - crop.place[1]
        assert 0 <= crop.place[0] < crop.place[2] <= frame[0]
        assert 0 <= crop.place[1] < crop.place[3] <= frame[1]
        expected = (crop.part[3] - crop.part[1]) * across / (crop.part[2] - crop.part[0])
        error_of_rounding = 0.5 + 0.5 * down / across
        assert abs(down - expected) <= error_of_rounding + 1e-6


@given(sizes, frames, st.floats(1, 4), st.integers(0, 99))
def test_without_zooming_out_nothing_is_padded(
    picture: Size, frame: Size, zoom: float, seed: int
) -> None:
    for crop in plan_crops(picture, None, frame, Freedom(1.0, zoom, True), 4, str(seed)):
        assert crop.place == (0, 0, *frame)


@given(sizes, frames, freedoms, st.integers(1, 12), st.integers(0, 99))
def test_zooms_are_spread_and_half_are_mirrored(
    picture: Size, frame: Size, freedom: Freedom, count: int, seed: int
) -> None:
    assume(freedom.zoom_in > freedom.zoom_out * 1.2)
    crops = plan_crops(picture, None, frame, freedom, count, str(seed))
    cover = cover_scale(picture, frame)
    width = math.log(freedom.zoom_in / freedom.zoom_out)
    parts = Counter()
    for crop in crops:
        seen = math.log(crop.frame[0] / (crop.outline[2] - crop.outline[0]) / cover)
        place = (seen - math.log(freedom.zoom_out)) / width * count
        parts[round(place - 0.5)] += 1
    if all(crop.place == (0, 0, *frame) for crop in crops):  # else scales are rounded to pixels
        assert parts == dict.fromkeys(range(count), 1)
    mirrored = sum(crop.flipped for crop in crops)
    assert mirrored in ((count // 2, -(-count // 2)) if freedom.flip else (0,))


def test_a_padded_picture_lies_now_here_now_there() -> None:
    crops = plan_crops((100, 100), None, (64, 64), Freedom(0.5, 0.5, flip=False), 8, "0")
    assert len({crop.place[:2] for crop in crops}) == 8
    assert {crop.place[0] < 16 for crop in crops} == {True, False}


def test_a_seed_gives_the_same_crops_and_another_others() -> None:
    freedom = Freedom(0.8, 1.5, True)
    first, again, other = (
        plan_crops((300, 200), None, (64, 64), freedom, 5, seed) for seed in ("0/1", "0/1", "1/1")
    )
    assert first == again
    assert first != other


def test_crops_come_near_to_a_small_subject_but_not_nearer_than_its_pixels() -> None:
    freedom = Freedom(0.8, 1.2, False)
    small = (2000, 1500, 2300, 1900)
    low, high = zoom_range((4000, 3000), small, (576, 448), freedom)
    scale = high * cover_scale((4000, 3000), (576, 448))
    assert low == 0.8
    assert scale * 400 == pytest.approx(224), "its height fills half the frame's"
    tiny = (2000, 1500, 2030, 1540)
    assert (
        zoom_range((4000, 3000), tiny, (576, 448), freedom)[1]
        * cover_scale((4000, 3000), (576, 448))
        == 1
    ), "no enlarging"
    assert zoom_range((400, 300), (100, 100, 110, 110), (576, 448), freedom)[1] == 1.2


circles = st.tuples(st.integers(60, 160), st.integers(0, 10_000))


@given(sizes=st.tuples(st.integers(200, 700), st.integers(200, 700)), circle=circles, frame=frames)
def test_a_circle_stays_a_circle(sizes: Size, circle: tuple[int, int], frame: Size) -> None:
    assume(min(frame) > 100)
    diameter, place = circle
    x, y = place % (sizes[0] - diameter), place % (sizes[1] - diameter)
    box = (x, y, x + diameter, y + diameter)
    picture = Image.new("L", sizes)
    ImageDraw.Draw(picture).ellipse((x, y, x + diameter - 1, y + diameter - 1), fill=255)
    for crop in plan_crops(sizes, box, frame, Freedom(0.7, 1.3, True), 2, str(place)):
        expected = diameter * crop.scale
        if expected > min(frame) - 2:
            continue  # a part of it is outside
        cut = np.asarray(crop.cut(picture, Image.Resampling.LANCZOS)) > 127
        across, down = np.flatnonzero(cut.any(0)), np.flatnonzero(cut.any(1))
        width, height = np.ptp(across) + 1, np.ptp(down) + 1
        assert abs(width - expected) <= 2 + 0.01 * expected
        assert abs(width - height) <= 2 + 0.01 * expected
