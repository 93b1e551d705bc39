"""What becomes of a folder of images."""

import json
from pathlib import Path

import pytest
from PIL import Image

from fedshow.errors import InvalidInput
from fedshow_client.commands.check import check
from fedshow_client.tuning.captions import caption_for
from fedshow_client.tuning.images import scan
from fedshow_client.tuning.sheet import contact_sheet


def picture(path: Path, colour: str, size: tuple[int, int] = (40, 30)) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def reasons(folder: Path) -> dict[str, str | None]:
    return {c.path.name: c.reason for c in scan(folder).candidates}


def test_each_image_is_accepted_or_says_why_not(tmp_path: Path) -> None:
    picture(tmp_path / "good.png", "red")
    picture(tmp_path / "twin.png", "red")
    picture(tmp_path / "tiny.jpg", "blue", (8, 8))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n not a picture")
    (tmp_path / "notes.md").write_text("not an image")
    found = reasons(tmp_path)
    assert found["good.png"] is None
    assert found["twin.png"] == "same picture as good.png"
    assert "smaller than 16" in str(found["tiny.jpg"])
    assert "cannot be read" in str(found["broken.png"])
    assert "notes.md" not in found


def test_caption_and_mask_lie_beside_the_image(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "red")
    (tmp_path / "a.txt").write_text("a monster on the beach\n")
    Image.new("L", (40, 30), 255).save(tmp_path / "a.mask.png")
    (candidate,) = scan(tmp_path).candidates
    assert candidate.caption == "a monster on the beach"
    assert candidate.mask == tmp_path / "a.mask.png"


def test_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "red")
    picture(tmp_path / "b.png", "blue")
    Image.new("L", (10, 10), 255).save(tmp_path / "a.mask.png")
    assert reasons(tmp_path)["a.png"] == "mask is 10x10, image 40x30"


def test_exif_orientation_is_obeyed(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 30), "red")
    exif = image.getexif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "a.jpg", exif=exif)
    (candidate,) = scan(tmp_path).candidates
    assert candidate.size == (30, 40)
    assert candidate.load().size == (30, 40)


@pytest.mark.parametrize("content", [{}, {"a.png": b"no"}, {"a.txt": b"text"}])
def test_nothing_usable_is_an_error_that_names_the_folder(
    tmp_path: Path, content: dict[str, bytes]
) -> None:
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidInput, match=str(tmp_path)):
        scan(tmp_path)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not a folder"):
        scan(tmp_path / "nowhere")


def test_contact_sheet_shows_every_image(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "red")
    (tmp_path / "b.png").write_bytes(b"no")
    sheet = contact_sheet(scan(tmp_path))
    colours = {colour for _, colour in sheet.getcolors(sheet.width * sheet.height) or []}
    assert (255, 0, 0) in colours


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (None, "photo of a <potter>"),
        ("a man on the beach", "a <potter> on the beach"),
        ("a Man and a man", "a <potter> and a man"),
        ("<potter> at home", "<potter> at home"),
        ("a woman outside", "<potter>, a woman outside"),
    ],
)
def test_captions_always_mention_the_concept(written: str | None, expected: str) -> None:
    assert caption_for("potter", "man", written) == expected


def test_check_lists_every_image_even_when_none_is_usable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(b"no")
    picture(tmp_path / "b.png", "red", (8, 8))
    sheet = tmp_path / "out" / "sheet.png"
    sheet.parent.mkdir()
    with pytest.raises(InvalidInput, match="none of 2 images"):
        check(tmp_path, sheet=sheet, as_json=True)
    listed = {row["file"]: row["reason"] for row in json.loads(capsys.readouterr().out)}
    assert "cannot be read" in listed["a.png"]
    assert "smaller than 16" in listed["b.png"]
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_absurdly_large_picture_is_rejected_not_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "bomb.png", "red", (400, 400))
    picture(tmp_path / "good.png", "blue")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 10_000)
    assert "DecompressionBombError" in str(reasons(tmp_path)["bomb.png"])
