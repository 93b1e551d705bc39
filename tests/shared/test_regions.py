"""What a region can be, and how it is written."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from fedshow.errors import InvalidInput
from fedshow.sampling.regions import Region


def mask(size: tuple[int, int] = (32, 32), box: tuple[int, ...] = (0, 0, 15, 31)) -> Image.Image:
    """White in a box of pixels, both ends included."""
    image = Image.new("L", size)
    ImageDraw.Draw(image).rectangle(box, fill=255)  # type: ignore[arg-type]
    return image


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "0,0,1: robot",
        "0,0,1,1",
        "0,0,1,1:",
        "a,b,c,d: x",
        "0.5,0,0.5,1: x",
        "0,0,2,1: x",
        "nan,0,1,1: x",
        "0,0,1,1; weight=0: x",
        "0,0,1,1; weight=nan: x",
        "0,0,1,1; weight=11: x",
        "0,0,1,1; feather=-1: x",
        "0,0,1,1; start=.5; end=.5: x",
        "0,0,1,1; end=1.5: x",
        "0,0,1,1; weight: x",
        "0,0,1,1; sketch=-1: x",
        "0,0,1,1; sketch=much: x",
    ],
)
def test_bad_regions_are_refused(spec: str) -> None:
    with pytest.raises(InvalidInput, match=r"region|0,0,1,1"):
        Region.parse(spec)


def test_region_is_parsed() -> None:
    found = Region.parse("0, .1,.5,1: a robot: happy")
    assert found == Region(box=(0, 0.1, 0.5, 1), prompt="a robot: happy")


def test_region_with_everything_is_parsed() -> None:
    found = Region.parse(
        "0,0,.5,1; weight=.8;feather=.1; start=.2; end=.9; negative=a hat, red; sketch=.5: a robot"
    )
    assert found == Region(
        box=(0, 0, 0.5, 1),
        prompt="a robot",
        weight=0.8,
        feather=0.1,
        start=0.2,
        end=0.9,
        negative="a hat, red",
        controls={"sketch": 0.5},
    )


def test_mask_is_parsed(tmp_path: Path) -> None:
    mask().save(tmp_path / "left.png")
    found = Region.parse_mask(f"{tmp_path}/left.png; weight=.5: a robot")
    assert found.mask == mask()
    assert (found.prompt, found.weight, found.box) == ("a robot", 0.5, None)
    assert found.bounds == (0, 0, 0.5, 1)


def test_what_is_transparent_is_outside() -> None:
    painted = Image.new("RGBA", (4, 4), (255, 255, 255, 0))
    painted.putpixel((1, 2), (255, 255, 255, 255))
    region = Region(mask=painted, prompt="x")
    assert region.mask is not None
    assert region.mask.getbbox() == (1, 2, 2, 3)


def test_mask_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="black all over"):
        Region(mask=Image.new("L", (8, 8)), prompt="x")


def test_mask_of_another_size_is_refused() -> None:
    region = Region(mask=mask(), prompt="x")
    region.check_size((32, 32))
    with pytest.raises(InvalidInput, match=r"mask of 32x32 pixels: make it as large as .* 64x32"):
        region.check_size((32, 64))


def test_box_or_mask_is_needed_and_a_prompt() -> None:
    with pytest.raises(InvalidInput, match="either a box or a mask"):
        Region(prompt="x")
    with pytest.raises(InvalidInput, match="either a box or a mask"):
        Region(box=(0, 0, 1, 1), mask=mask(), prompt="x")
    with pytest.raises(InvalidInput, match="without a prompt"):
        Region(box=(0, 0, 1, 1), prompt="  ")


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"0" * 40])
def test_what_is_no_mask_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mask.png").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"mask\.png: "):
        Region.parse_mask(f"{tmp_path}/mask.png: x")
    with pytest.raises(InvalidInput, match=r"nowhere\.png cannot be read: No such file"):
        Region.parse_mask(f"{tmp_path}/nowhere.png: x")
