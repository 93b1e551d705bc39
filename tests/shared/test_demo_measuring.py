"""The demo's measures: a right picture counts, a wrong one does not."""

import random

import numpy as np
import pytest
from PIL import Image

from fedshow.demo.measuring import Presence, Reference, held_out_references, present, side_by_side
from fedshow.sampling.grid import grid
from fedshow.toyworld.encoder import ToyworldEncoder, load_encoder
from fedshow.toyworld.heldout import HELDOUT
from fedshow.toyworld.scenes import draw
from fedshow.toyworld.world import Scene


@pytest.fixture(scope="module")
def encoder() -> ToyworldEncoder:
    return load_encoder()


@pytest.fixture(scope="module")
def crowd(encoder: ToyworldEncoder) -> dict[str, Reference]:
    return {known.name: known for known in held_out_references(encoder)}


def pair(left: str, right: str) -> Image.Image:
    return draw(Scene("beach", (HELDOUT[left], HELDOUT[right])), random.Random(7)).image


def is_present(
    image: Image.Image, crowd: dict[str, Reference], encoder: ToyworldEncoder
) -> Presence:
    _, regions = side_by_side("gloop", "bolt", "on the beach")
    wanted = [crowd["gloop"], crowd["bolt"]]
    return present(image, regions, wanted, list(crowd.values()), encoder)


def test_drawn_pair_is_present(encoder: ToyworldEncoder, crowd: dict[str, Reference]) -> None:
    assert is_present(pair("gloop", "bolt"), crowd, encoder) == Presence(both=True, nearest=True)


@pytest.mark.parametrize(("left", "right"), [("bolt", "gloop"), ("gloop", "luna"), ("pip", "bolt")])
def test_swapped_or_other_kind_is_not(
    encoder: ToyworldEncoder, crowd: dict[str, Reference], left: str, right: str
) -> None:
    assert is_present(pair(left, right), crowd, encoder) == Presence(both=False, nearest=False)


def test_somebody_of_the_same_kind_is_not_the_nearest(
    encoder: ToyworldEncoder, crowd: dict[str, Reference]
) -> None:
    assert not is_present(pair("gloop", "volt"), crowd, encoder).nearest


def test_noise_is_nobody(encoder: ToyworldEncoder, crowd: dict[str, Reference]) -> None:
    noise = Image.frombytes("RGB", (32, 32), random.Random(0).randbytes(32 * 32 * 3))
    assert is_present(noise, crowd, encoder) == Presence(both=False, nearest=False)


def test_grid_shows_every_picture() -> None:
    red, blue = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (256, 256), "blue")
    sheet = grid([("one", [red, blue]), ("two", [blue])])
    colours = {colour for _, colour in sheet.getcolors(sheet.width * sheet.height) or []}
    assert {(255, 0, 0), (0, 0, 255)} <= colours


def test_rows_of_wide_pictures_are_no_higher_than_these() -> None:
    wide, square = Image.new("RGB", (64, 16), "red"), Image.new("RGB", (32, 32), "blue")
    sheet = grid([("wide", [wide, wide]), ("square", [square])])
    assert sheet.height == 96 // 4 + 96 + 3 * 4
    shown = np.asarray(sheet)
    assert (shown == (255, 0, 0)).all(-1).sum() == 2 * 96 * 24
    assert (shown == (0, 0, 255)).all(-1).sum() == 96 * 96
