"""The private pictures that an evaluation compares with are those that tuning learns from."""

from pathlib import Path

import pytest
from PIL import Image

from fedshow import pictures
from fedshow.errors import InvalidInput
from fedshow.evaluation import references
from fedshow.evaluation.references import reference_files, reference_pictures
from fedshow_client.tuning.data.folder import examine

NAMES = [f"{number}{suffix}" for number, suffix in enumerate(sorted(pictures.SUFFIXES))]


def save(path: Path, shade: int) -> None:
    """A picture in the format of the file's name; those of phones as AVIF, which Pillow can write."""
    image = Image.linear_gradient("L").resize((40, 30)).rotate(shade).convert("RGB")
    image.save(path, "AVIF" if path.suffix in pictures.HEIF_SUFFIXES else None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A picture of every kind, and files that are none."""
    for number, name in enumerate(NAMES):
        save(tmp_path / name, 20 * number)
    for name in ("0.mask.png", "1.Mask.jpg", ".hidden.png"):
        save(tmp_path / name, 0)
    (tmp_path / "0.txt").write_text("a cat")
    return tmp_path


def test_what_tuning_takes_is_compared_with(folder: Path) -> None:
    assert [file.name for file in reference_files(folder)] == sorted(NAMES)
    taken = [candidate.path for candidate in examine(folder).candidates]
    assert reference_files(folder) == taken


def test_pictures_look_as_they_do_to_tuning(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 30), (255, 0, 0, 0)).save(tmp_path / "a.png")
    (candidate,) = examine(tmp_path).candidates
    (found,) = reference_pictures(tmp_path)
    assert found.tobytes() == candidate.load().tobytes()
    assert found.getpixel((0, 0)) == pictures.BEHIND_TRANSPARENCY


def test_a_phone_s_pictures_need_their_library_at_once(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(references, "can_read_heif", lambda: False)
    with pytest.raises(InvalidInput, match=r"\.heic needs the pillow-heif library"):
        reference_files(folder)


def test_a_picture_that_cannot_be_compared_with_is_named(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a.gif").write_bytes(b"GIF89a and no more")
    with pytest.raises(InvalidInput, match=r"a\.gif cannot be read as a picture"):
        list(reference_pictures(tmp_path))
    save(tmp_path / "a.gif", 0)
    monkeypatch.setattr(references, "MAX_PIXELS", 1000)
    with pytest.raises(InvalidInput, match=r"a\.gif is too large, limit 1000 pixels: 40x30"):
        list(reference_pictures(tmp_path))
