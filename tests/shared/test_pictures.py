"""Pictures as people see them, whatever their files are like."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.ExifTags import Base

from fedshow.errors import InvalidInput
from fedshow.sampling.pictures import decode_picture, encode_picture, read_picture
from fedshow.sampling.regions import Region

TURNED = 6
"""EXIF orientation of a camera that was held upright: the first row is the right edge."""


def oriented(value: int = TURNED) -> bytes:
    """A JPEG stored lying, its left half white."""
    stored, file = Image.new("L", (32, 16)), io.BytesIO()
    stored.paste("white", (0, 0, 16, 16))
    exif = stored.getexif()
    exif[Base.Orientation], exif[Base.Model] = value, "camera"
    stored.save(file, "JPEG", exif=exif)
    return file.getvalue()


def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    """Also a mask: its white half is above."""
    upright = decode_picture("picture", oriented())
    assert upright.size == (16, 32)
    pixels = np.asarray(upright, int)
    assert (pixels[:14].min() > 200, pixels[18:].max() < 50) == (True, True)
    (tmp_path / "mask.jpg").write_bytes(oriented())
    mask = Region.parse_mask(f"{tmp_path}/mask.jpg: a robot").mask
    assert mask is not None
    assert mask.size == (16, 32)


@pytest.mark.parametrize("transparent", [None, 40000])
def test_sixteen_bits_become_eight(transparent: int | None) -> None:
    """Depth maps are stored so."""
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    file = io.BytesIO()
    Image.fromarray(ramp).save(file, "PNG", transparency=transparent)
    found = decode_picture("depth", file.getvalue())
    assert found.mode == "L"
    assert np.array_equal(np.asarray(found).ravel(), np.arange(256))
    assert not found.has_transparency_data


def test_colours_of_print_become_those_of_screens(tmp_path: Path) -> None:
    white = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
    white.save(tmp_path / "white.jpg", icc_profile=b"of a printer")
    found = read_picture(tmp_path / "white.jpg")
    assert (found.mode, found.getpixel((4, 4))) == ("RGB", (255, 255, 255))
    assert "icc_profile" in found.info
    assert decode_picture("again", encode_picture(found)).info == {}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_ways_to_hold_a_camera(orientation: int) -> None:
    content = oriented(orientation)
    with Image.open(io.BytesIO(content)) as stored:
        expected = ImageOps.exif_transpose(stored)
    assert decode_picture("picture", content).tobytes() == expected.tobytes()


def test_an_odd_tag_is_no_reason_to_refuse_a_picture() -> None:
    model_of_no_type = oriented().replace(b"\x01\x10\x00\x02", b"\x01\x10\x00\x00")
    assert decode_picture("picture", model_of_no_type).size == (16, 32)


@pytest.mark.parametrize("content", [b"", b"GIF89a", oriented()[:300]])
def test_what_cannot_be_read_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="picture: "):
        decode_picture("picture", content)
