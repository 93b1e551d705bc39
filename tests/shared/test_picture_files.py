"""Picture files of any kind come out upright, sRGB and complete."""

from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms, ImageDraw

from fedshow.pictures import (
    BEHIND_TRANSPARENCY,
    can_read_heif,
    opened,
    upright_grey,
    upright_rgb,
)

ORIENTATION = 0x0112


def quarters(width: int = 64, height: int = 48) -> Image.Image:
    """Four colours, so that every turn and mirroring shows."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    for x, y, colour in ((0, 0, "red"), (1, 0, "lime"), (0, 1, "blue"), (1, 1, "white")):
        left, top = x * width // 2, y * height // 2
        draw.rectangle((left, top, left + width // 2 - 1, top + height // 2 - 1), fill=colour)
    return image


def read(path: Path) -> Image.Image:
    with opened(path) as image:
        return upright_rgb(image)


def pixels(image: Image.Image) -> npt.NDArray[np.int16]:
    return np.asarray(image, dtype=np.int16)


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """The colours in the middle of the four quarters, coarsely."""
    small = pixels(image.resize((4, 4), Image.Resampling.BOX))
    return [tuple(small[y, x] // 128) for y in (0, 3) for x in (0, 3)]


UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera that notes each orientation has stored the upright picture."""


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_exif_orientations_come_out_upright(tmp_path: Path, orientation: int) -> None:
    upright = quarters()
    stored = upright.transpose(UNDO[orientation]) if orientation in UNDO else upright
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    found = read(tmp_path / "a.jpg")
    assert found.size == upright.size
    assert corners(found) == corners(upright)


@pytest.mark.parametrize("suffix", ["webp", "png", "tif", "avif"])
def test_orientation_is_obeyed_in_other_formats_too(tmp_path: Path, suffix: str) -> None:
    """Not in HEIF: there the container turns the picture, and the EXIF tag says nothing."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    quarters().transpose(UNDO[6]).save(tmp_path / f"a.{suffix}", exif=exif)
    found = read(tmp_path / f"a.{suffix}")
    assert found.size == quarters().size
    assert corners(found) == corners(quarters())


@pytest.mark.parametrize(
    "suffix", ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "avif", "heic", "heif"]
)
def test_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    if suffix in ("heic", "heif"):
        pytest.importorskip("pillow_heif")
        assert can_read_heif()
    quarters().save(tmp_path / f"a.{suffix}")
    assert corners(read(tmp_path / f"a.{suffix}")) == corners(quarters())


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_on_grey_not_on_black(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    image.paste((255, 255, 255, 255), (0, 0, 10, 20))
    image.convert(mode).save(tmp_path / "a.png")
    found = read(tmp_path / "a.png")
    assert found.getpixel((2, 10)) == (255, 255, 255)
    assert found.getpixel((17, 10)) == BEHIND_TRANSPARENCY


def test_transparency_of_a_mask_is_not_the_subject() -> None:
    image = Image.new("RGBA", (20, 20), (255, 255, 255, 0))
    image.paste((255, 255, 255, 255), (0, 0, 10, 20))
    assert upright_grey(image).getpixel((2, 10)) == 255
    assert upright_grey(image).getpixel((17, 10)) == 0


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (np.linspace(0, 65535, 256).astype(np.uint16), "a.png"),
        (np.linspace(0, 65535, 256).astype(np.uint16), "a.tif"),
        (np.linspace(0, 65535, 256).astype(np.int32), "a.tif"),
        (np.linspace(0, 1, 256).astype(np.float32), "a.tif"),
        (np.linspace(0, 255, 256).astype(np.float32), "a.tif"),
    ],
)
def test_deep_greys_keep_their_whole_range(
    tmp_path: Path, values: npt.NDArray[np.generic], name: str
) -> None:
    Image.fromarray(np.tile(values, (32, 1))).save(tmp_path / name)
    row = pixels(read(tmp_path / name))[16, :, 0]
    assert np.abs(row - np.arange(256)).max() <= 1


@pytest.mark.parametrize("mode", ["L", "1", "CMYK", "YCbCr", "HSV", "LAB"])
def test_other_modes_keep_light_light_and_dark_dark(mode: str) -> None:
    image = Image.new("RGB", (40, 20), "black")
    image.paste((255, 255, 255), (0, 0, 20, 20))
    if mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        srgb = ImageCms.createProfile("sRGB")
        transformed = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
        assert transformed is not None
        image = transformed
    else:
        image = image.convert(mode)
    found = pixels(upright_rgb(image))
    assert found.shape == (20, 40, 3)
    assert found[:, :18].min() > 200
    assert found[:, 22:].max() < 60


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_several_frames_the_first_is_read(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], duration=100)
    red, _, blue = read(tmp_path / f"a.{suffix}").getpixel((10, 10))  # type: ignore[misc]
    assert red > 200 > blue


def profile_with_red_and_green_exchanged() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace("sRGB".encode("utf-16-be"), "xRGB".encode("utf-16-be"))
    for one, other in ((b"rXYZ", b"tmpX"), (b"gXYZ", b"rXYZ"), (b"tmpX", b"gXYZ")):
        profile = profile.replace(one, other, 1)
    return profile


def test_colours_of_another_profile_become_srgb(tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 20), (255, 0, 0))
    image.save(tmp_path / "a.png", icc_profile=profile_with_red_and_green_exchanged())
    red, green, _ = read(tmp_path / "a.png").getpixel((10, 10))  # type: ignore[misc]
    assert green > 200 > red


def test_a_broken_profile_is_ignored(tmp_path: Path) -> None:
    quarters().save(tmp_path / "a.png", icc_profile=b"not a profile at all")
    assert corners(read(tmp_path / "a.png")) == corners(quarters())


def test_the_usual_profile_changes_nothing(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    stream = BytesIO()
    quarters().save(stream, "PNG", icc_profile=profile)
    (tmp_path / "a.png").write_bytes(stream.getvalue())
    assert read(tmp_path / "a.png").tobytes() == quarters().tobytes()
