"""Masks beside images: used, explained away, or refused with both sizes."""

from pathlib import Path

import pytest
from PIL import Image

from fedshow_client.tuning.data.folder import Candidate, examine
from fedshow_client.tuning.data.masks import subject_box

SIZE = (40, 30)
BOX = (10, 5, 30, 25)


def masked(folder: Path, mask: Image.Image, image: Image.Image | None = None) -> Candidate:
    (image or Image.new("RGB", SIZE, "red")).save(folder / "a.png")
    mask.save(folder / "a.mask.png")
    (found,) = examine(folder).candidates
    return found


def block(size: tuple[int, int] = SIZE, light: int = 255, scale: float = 1.0) -> Image.Image:
    mask = Image.new("L", size)
    left, top, right, bottom = (round(edge * scale) for edge in BOX)
    mask.paste(light, (left, top, right, bottom))
    return mask


def test_a_mask_is_found_and_its_box_is_the_subject(tmp_path: Path) -> None:
    found = masked(tmp_path, block())
    assert found.mask == tmp_path / "a.mask.png"
    assert found.notes == ()
    mask = found.load_mask()
    assert mask is not None
    assert subject_box(mask) == BOX


def test_without_a_mask_there_is_none(tmp_path: Path) -> None:
    Image.new("RGB", SIZE, "red").save(tmp_path / "a.png")
    (found,) = examine(tmp_path).candidates
    assert found.load_mask() is None


def test_a_mask_of_other_proportions_is_refused_with_both_sizes(tmp_path: Path) -> None:
    assert masked(tmp_path, block((10, 10))).reason == "mask is 10x10, image 40x30"


def test_a_mask_of_the_unturned_file_is_explained(tmp_path: Path) -> None:
    assert "unturned" in str(masked(tmp_path, block(SIZE[::-1])).reason)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_smaller_or_larger_mask_of_the_same_shape_is_scaled(tmp_path: Path, scale: float) -> None:
    found = masked(tmp_path, block((round(40 * scale), round(30 * scale)), scale=scale))
    mask = found.load_mask()
    assert mask is not None
    assert mask.size == SIZE
    box = subject_box(mask)
    assert box is not None
    assert max(abs(a - b) for a, b in zip(box, BOX, strict=True)) <= 1
    assert "scaled to the image" in found.notes[0]


def test_an_empty_mask_is_refused(tmp_path: Path) -> None:
    assert masked(tmp_path, Image.new("L", SIZE)).reason == "mask is all black: no subject in it"


def test_a_faint_mask_is_refused_with_its_value(tmp_path: Path) -> None:
    assert "lightest value 90 of 255" in str(masked(tmp_path, block(light=90)).reason)


def test_a_white_mask_is_as_good_as_none(tmp_path: Path) -> None:
    found = masked(tmp_path, Image.new("L", SIZE, 255))
    assert found.accepted
    assert found.mask is None
    assert found.notes == ("mask is all white: the same as none",)


def test_masks_of_zeros_and_ones_are_understood(tmp_path: Path) -> None:
    found = masked(tmp_path, block(light=1))
    mask = found.load_mask()
    assert mask is not None
    assert mask.getextrema() == (0, 255)
    assert "values 0 and 1" in found.notes[0]


def test_a_cut_out_is_a_mask_too(tmp_path: Path) -> None:
    cut = Image.new("RGBA", SIZE, (255, 255, 255, 0))
    cut.paste((255, 255, 255, 255), BOX)
    mask = masked(tmp_path, cut).load_mask()
    assert mask is not None
    assert subject_box(mask) == BOX


def test_a_broken_mask_is_refused(tmp_path: Path) -> None:
    masked(tmp_path, block())
    (tmp_path / "a.mask.png").write_bytes(b"no")
    (found,) = examine(tmp_path).candidates
    assert "mask cannot be read" in str(found.reason)
