"""The layouts of the sampling benchmark, and how their pictures are read."""

import random

import numpy as np
import pytest
from PIL import Image

from benchmarks.regions import reading, study
from benchmarks.regions.layouts import VARIANTS, Layout, layouts
from fedshow.families import Base
from fedshow.sampling.model import Model
from fedshow.toyworld.heldout import draw_heldout

COUNTS = (2, 3, 4)


def painted(layout: Layout, concepts: tuple[str, ...]) -> Image.Image:
    """A picture in which each box shows the character named."""
    image = Image.new("RGB", layout.size, "white")
    for name, box in zip(concepts, layout.boxes, strict=True):
        left, top, right, bottom = (round(edge) for edge in layout.pixels(box))
        ((picture, _),) = draw_heldout(name, 1, random.Random(1), places=["plain"])
        image.paste(picture.image.resize((right - left, bottom - top)), (left, top))
    return image


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("count", COUNTS)
def test_layouts_lie_within_the_picture(count: int, variant: str) -> None:
    found = layouts(count, variant, 16)
    assert found == layouts(count, variant, 16), "the same every time"
    assert len({layout.boxes for layout in found}) == (16 if variant == "apart" else 1)
    for layout in found:
        assert len(set(layout.concepts)) == count
        for left, top, right, bottom in layout.boxes:
            assert 0 <= left < right <= 1
            assert 0 <= top < bottom <= 1
        pairs = list(zip(layout.boxes, layout.boxes[1:], strict=False))
        assert all((one[2] <= other[0]) == (variant != "overlapping") for one, other in pairs)


def test_sketches_lie_in_their_boxes() -> None:
    for layout in layouts(3, "apart", 4):
        lines = np.asarray(layout.sketch())
        assert lines.shape == layout.size[::-1]
        inside = np.zeros_like(lines, dtype=bool)
        for box in layout.boxes:
            left, top, right, bottom = (round(edge) for edge in layout.pixels(box))
            assert (lines[top:bottom, left:right] > 127).sum() > 20
            inside[top : bottom + 1, left : right + 1] = True
        assert not lines[~inside].any()


def test_who_is_there_is_read_from_the_boxes(tmp_path) -> None:
    layout = layouts(2, "apart", 1)[0]
    known = reading.references(tmp_path)
    right = reading.read_boxes(painted(layout, layout.concepts), layout, known)
    swapped = reading.read_boxes(painted(layout, layout.concepts[::-1]), layout, known)
    empty = reading.read_boxes(Image.new("RGB", layout.size, "white"), layout, known)
    assert [box["present"] for box in right] == [True, True]
    assert [box["nearest"] for box in right] == [True, True]
    assert [box["nearest"] for box in swapped] == [False, False]
    assert not any(box["present"] for box in (*swapped, *empty)), "kinds differ"
    good, bad = (reading.summary(found, {}) for found in ([right], [right, swapped]))
    assert (good["present"], bad["present"]) == (1.0, 0.5)
    assert good["identity"] > bad["identity"]


def test_what_a_neighbour_wears_has_leaked_but_not_what_is_read_anyway() -> None:
    def box(name: str, **seen: str) -> dict[str, object]:
        look = {"colour": "none", "pattern": "plain", "accessory": "none", "mark": "none"} | seen
        return {
            "concept": name,
            "present": True,
            "identity": 1.0,
            "nearest": True,
            "bound": {},
            "seen": look,
        }

    ruby, berry = box("ruby", mark="ring", colour="red"), box("berry", mark="star", colour="purple")
    starred = box("ruby", mark="star", colour="red")
    assert reading.worn("ruby") == {("colour", "red"), ("mark", "ring")}
    beside = [[ruby, berry], [starred, berry]]
    found = reading.summary(beside, {})
    assert found["leaked_boxes"] == 1 / 4
    assert found["leaked"] == 1 / 8, "of two attributes in each of four boxes"
    elsewhere = [[starred, box("volt")], [ruby, box("volt")]]
    rates = reading.unprovoked([*beside, *elsewhere])
    assert rates["ruby", ("mark", "star")] == 0.5, "read where nobody wears a star"
    assert reading.summary(beside, rates)["leaked"] == (0.5 - 0.5) / 8


@pytest.mark.parametrize("way", study.WAYS)
def test_every_way_draws(base: Base, make_concept, way: str) -> None:
    layout = next(
        found for found in layouts(2, "apart", 16) if set(found.concepts) == {"volt", "pip"}
    )
    model = Model(base)
    for name in layout.concepts:
        model.add_concept(make_concept(name))
    _, options = study.WAYS[way]
    image = study.draw(model, layout, **options, steps=2)
    model.restore()
    assert image.size == layout.size


def test_bars_are_about_boxes_that_lie_apart() -> None:
    row = {"present": 0.5, "kept": 0.75, "attributes": 0.25, "leaked": 0.0}
    better = dict.fromkeys(row, 1.0)
    table = {f"windows {count} apart": better for count in COUNTS}
    table |= {"windows 3 apart": row, "windows 3 touching": dict.fromkeys(row, 0.0)}
    assert study.figures(table) == {
        "present_2": 1.0,
        "present_3": 0.5,
        "present_4": 1.0,
        "identity_in_box_kept": 0.75,
        "attributes": 0.25,
        "leaked": 1.0,
    }
