"""What becomes of a folder of images: used or refused, with the reason, and what to know."""

import random
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from fedshow import pictures
from fedshow.errors import InvalidInput
from fedshow.toyworld.heldout import draw_heldout
from fedshow_client.tuning.data.folder import Candidate, examine, fingerprint, scan


def picture(path: Path, colour: str = "red", size: tuple[int, int] = (40, 30)) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def reasons(folder: Path, edge: int = 0) -> dict[str, str | None]:
    return {c.path.name: c.reason for c in examine(folder, edge).candidates}


def only(folder: Path) -> Candidate:
    (candidate,) = scan(folder).candidates
    return candidate


def test_each_image_is_accepted_or_says_why_not(tmp_path: Path) -> None:
    picture(tmp_path / "good.png")
    picture(tmp_path / "twin.bmp")
    picture(tmp_path / "tiny.jpg", "blue", (8, 8))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n not a picture")
    (tmp_path / "notes.md").write_text("not an image")
    found = reasons(tmp_path)
    assert found["good.png"] is None
    assert found["twin.bmp"] == "same picture as good.png"
    assert found["tiny.jpg"] == "8x8 is smaller than 16 pixels"
    assert "cannot be read" in str(found["broken.png"])
    assert "notes.md" not in found


def test_the_base_decides_what_is_too_small(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "red", (63, 200))
    assert reasons(tmp_path, edge=32)["a.png"] is None
    assert reasons(tmp_path, edge=512)["a.png"] == "63x200 is smaller than 64 pixels"


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    whole = picture(tmp_path / "a.jpg", "red", (400, 300)).read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in str(reasons(tmp_path)["a.jpg"])


@pytest.mark.parametrize(("suffix", "frames"), [("gif", 3), ("tif", 3), ("avif", 1)])
def test_a_damaged_file_is_one_image_that_cannot_be_read(
    tmp_path: Path, suffix: str, frames: int
) -> None:
    picture(tmp_path / "good.png")
    drawn = Image.linear_gradient("L").resize((24, 20))
    first, *more = [drawn.rotate(40 * number) for number in range(frames)]
    damaged = tmp_path / f"a.{suffix}"
    first.save(damaged, save_all=True, append_images=more)
    whole, rng, refused = damaged.read_bytes(), random.Random(0), 0
    for number in range(200):
        content = bytearray(whole)
        if number % 2:
            del content[rng.randrange(len(whole)) :]
        else:
            content[rng.randrange(min(len(whole), 400))] = rng.randrange(256)
        damaged.write_bytes(content)
        found = reasons(tmp_path)
        assert found["good.png"] is None
        refused += str(found[damaged.name]).startswith("cannot be read (")
    assert refused > 40


def test_absurdly_large_pictures_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(tmp_path / "bomb.png", "red", (400, 400))
    picture(tmp_path / "good.png", "blue")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 10_000)
    assert "too large" in str(reasons(tmp_path)["bomb.png"])
    monkeypatch.undo()
    monkeypatch.setattr("fedshow_client.tuning.data.folder.MAX_PIXELS", 10_000)
    assert str(reasons(tmp_path)["bomb.png"]).startswith("400x400 is too large")


def test_exif_orientation_decides_the_size(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 30), "red")
    exif = image.getexif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "a.jpg", exif=exif)
    assert only(tmp_path).size == only(tmp_path).load().size == (30, 40)


def test_heic_without_its_library_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.HEIC").write_bytes(b"....ftypheic")
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    pictures.can_read_heif.cache_clear()
    assert "pip install 'fedshow[heic]'" in str(reasons(tmp_path)["a.HEIC"])
    pictures.can_read_heif.cache_clear()


def test_hidden_files_are_not_there_and_inner_folders_are_not_read(tmp_path: Path) -> None:
    picture(tmp_path / ".hidden.png")
    picture(tmp_path / "a.png", "blue")
    (tmp_path / "more").mkdir()
    picture(tmp_path / "more" / "b.png")
    (tmp_path / ".git").mkdir()
    found = examine(tmp_path)
    assert [c.path.name for c in found.candidates] == ["a.png"]
    assert [note for note in found.notes if "folder" in note] == [
        "more: folders within the folder are not read"
    ]


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("lost.mask.png", "lost.mask.png: mask without an image"),
        ("a.mask.jpg", "a.mask.jpg: not used, masks are called NAME.mask.png"),
        ("A.MASK.PNG", "A.MASK.PNG: not used, masks are called NAME.mask.png"),
        ("lost.txt", "lost.txt: caption without an image"),
    ],
)
def test_what_was_meant_but_belongs_to_nothing_is_named(
    tmp_path: Path, name: str, note: str
) -> None:
    picture(tmp_path / "a.png")
    if name.endswith("txt"):
        (tmp_path / name).write_text("a caption")
    else:
        Image.new("L", (40, 30), 255).save(tmp_path / name)
    found = examine(tmp_path)
    assert note in found.notes
    assert [c.path.name for c in found.candidates] == ["a.png"]


@pytest.mark.parametrize(("count", "word"), [(3, "few"), (4, None), (20, None), (21, "many")])
def test_too_few_or_too_many_images_are_a_note_not_an_error(
    tmp_path: Path, count: int, word: str | None
) -> None:
    for number in range(count):
        Image.new("RGB", (20, 20), (number * 10, 255 - number * 10, 0)).save(
            tmp_path / f"{number:02}.png"
        )
    found = scan(tmp_path)
    assert len(found.accepted) == count
    assert [word in note for note in found.notes] == ([True] if word else [])


def test_copies_are_named_and_different_pictures_of_one_thing_are_not(tmp_path: Path) -> None:
    drawn = [p.image for p, _ in draw_heldout("gloop", 6, random.Random(0), 256)]
    for number, image in enumerate(drawn):
        image.save(tmp_path / f"{number}.png")
    small = ImageEnhance.Brightness(drawn[2].resize((120, 120))).enhance(1.08)
    small.save(tmp_path / "copy.jpg", quality=40)
    notes = {c.path.name: c.notes for c in examine(tmp_path).candidates}
    assert notes.pop("copy.jpg") == ("nearly the same as 2.png",)
    assert set(notes.values()) == {()}


def test_plain_pictures_of_different_colours_are_not_alike(tmp_path: Path) -> None:
    for colour in ("red", "blue"):
        picture(tmp_path / f"{colour}.png", colour)
    assert [c.notes for c in examine(tmp_path).candidates] == [(), ()]


def test_walls_of_the_same_grey_are_not_alike_by_their_noise(tmp_path: Path) -> None:
    for number in range(2):
        wall = Image.new("RGB", (60, 60), (128, 128, 128))
        wall.paste((129, 129, 129), (0, 0, 5, 5 + number))
        wall.save(tmp_path / f"{number}.png")
    Image.new("RGB", (60, 60), (90, 90, 90)).save(tmp_path / "plain.png")
    assert [c.notes for c in examine(tmp_path).candidates] == [(), (), ()]


def test_several_frames_are_noted(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "lime")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert only(tmp_path).notes == ("3 frames: only the first is used",)


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


def test_the_fingerprint_follows_picture_caption_and_mask(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    found = [fingerprint(scan(tmp_path).accepted)]
    (tmp_path / "a.txt").write_text("a cat")
    found.append(fingerprint(scan(tmp_path).accepted))
    mask = Image.new("L", (40, 30))
    mask.paste(255, (5, 5, 20, 20))
    mask.save(tmp_path / "a.mask.png")
    found.append(fingerprint(scan(tmp_path).accepted))
    picture(tmp_path / "a.png", "blue")
    found.append(fingerprint(scan(tmp_path).accepted))
    assert len(set(found)) == 4
    assert fingerprint(scan(tmp_path).accepted) == found[-1]
