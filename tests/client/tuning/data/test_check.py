"""`fedshow check`: what people and programs are told before anything is tuned."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedshow.demo.folders import Person, draw_images
from fedshow.errors import InvalidInput
from fedshow_client.commands.check import check
from fedshow_client.tuning.data.folder import examine
from fedshow_client.tuning.data.frames import Frame
from fedshow_client.tuning.data.planning import crops_of
from fedshow_client.tuning.data.preview import Preview, preview, summary
from fedshow_client.tuning.data.sheet import CELL, FIRST, SUBJECT, contact_sheet
from fedshow_client.tuning.recipe import Recipe
from tests.client.tuning.data.test_frames import make_base

SD15 = Frame(512, 64)
RECIPE = Recipe.model_validate({"steps": 100, "batch": 4, "variants": 5})


def picture(path: Path, colour: str, size: tuple[int, int] = (40, 30)) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def previews(folder: Path, frame: Frame = SD15) -> dict[str, Preview]:
    found = preview(examine(folder, frame.edge), frame, RECIPE, "mimi", "cat")
    return {item.image.path.name: item for item in found}


def listed(folder: Path, capsys: pytest.CaptureFixture[str], **options: Any) -> list[Any]:
    check(
        folder,
        **{"base": "toyworld", "name": "x", "class_word": "cat", "sheet": None} | options,
        as_json=True,
    )
    return list(json.loads(capsys.readouterr().out))


def test_each_image_is_told_what_becomes_of_it(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "red", (1600, 1200))
    (tmp_path / "a.txt").write_text("a cat, asleep")
    picture(tmp_path / "b.png", "blue", (300, 300))
    picture(tmp_path / "c.png", "lime", (3000, 500))
    found = previews(tmp_path)
    assert found["a.png"].frame == (576, 448)
    assert found["a.png"].captions == ("a <mimi>, asleep",)
    assert found["a.png"].notes == ()
    assert len(found["a.png"].crops) == 5
    (note,) = found["b.png"].notes
    assert note.startswith("will be enlarged 1.")
    (note,) = found["c.png"].notes
    assert note.startswith("no crop shows more than 3")
    assert found["a.png"].seen == 133
    assert summary(list(found.values()), RECIPE)[-1] == "3 of 3 images usable"


def test_a_subject_too_large_for_the_crops_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "red", (4000, 600))
    mask = Image.new("L", (4000, 600))
    mask.paste(255, (100, 100, 3900, 500))
    mask.save(tmp_path / "a.mask.png")
    assert "parts of it will be cut off" in " ".join(previews(tmp_path)["a.png"].notes)


def test_a_caption_that_the_base_cannot_read_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, colour in (("good", "red"), ("long", "blue")):
        picture(tmp_path / f"{name}.png", colour)
    (tmp_path / "good.txt").write_text("a cat on the meadow")
    (tmp_path / "long.txt").write_text("a cat " + "on the meadow " * 12)
    check(tmp_path, base="toyworld", name="x", class_word="cat", sheet=None, as_json=False)
    refused = "    tuning will refuse its caption: 41 tokens, base 'toyworld' reads 32: 'a <x1>"
    good, rest = capsys.readouterr().out.split("long.png  ")
    assert "refuse" not in good
    assert refused in rest


def test_a_base_that_is_not_here_cannot_be_asked_for_captions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, base = tmp_path / "images", tmp_path / "base"
    folder.mkdir()
    base.mkdir()
    picture(folder / "a.png", "red", (800, 600))
    listed(folder, capsys, base=str(make_base(base)))
    (folder / "a.txt").write_text("a cat " + "on the meadow " * 99)
    check(folder, base=str(base), name="x", class_word="cat", sheet=None, as_json=False)
    out, err = capsys.readouterr()
    assert "refuse" not in out
    assert f"note: whether captions fit is seen when the tokenizer of base {base} is here" in err


def test_the_crops_told_are_those_that_tuning_uses(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "red", (8, 8))
    picture(tmp_path / "b.png", "red", (600, 500))
    picture(tmp_path / "c.png", "blue", (500, 600))
    accepted = examine(tmp_path).accepted
    found = previews(tmp_path)
    for number, image in enumerate(accepted):
        used = crops_of(image, number, SD15, RECIPE, RECIPE.seed)
        assert list(found[image.path.name].crops) == used


def test_json_lists_every_image_even_when_none_is_usable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(b"no")
    picture(tmp_path / "b.png", "red", (8, 8))
    sheet = tmp_path / "out" / "sheet.png"
    with pytest.raises(InvalidInput, match="none of 2 images"):
        listed(tmp_path, capsys, sheet=sheet)
    rows = {row["file"]: row["reason"] for row in json.loads(capsys.readouterr().out)}
    assert "cannot be read" in rows["a.png"]
    assert "smaller than 16" in rows["b.png"]
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_the_base_decides_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, base = tmp_path / "images", tmp_path / "base"
    folder.mkdir()
    base.mkdir()
    picture(folder / "a.png", "red", (800, 600))
    (row,) = listed(folder, capsys)
    assert row["frame"] == [32, 32], "toyworld has seen squares only"
    (row,) = listed(folder, capsys, base=str(make_base(base)))
    assert row["frame"] == [576, 448]
    assert row["accepted"]
    assert row["captions"][0] == "photo of a <x>"


def test_people_read_verdicts_notes_and_the_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(tmp_path / "good.png", "red")
    picture(tmp_path / "tiny.png", "red", (5, 5))
    (tmp_path / "inner").mkdir()
    check(tmp_path, base="toyworld", name="x", class_word="mug", sheet=None, as_json=False)
    out, err = capsys.readouterr()
    assert 'good.png  40x30  ok: 8 crops at 32x32, "photo of a <x>" (and 3 more)' in out
    assert "tiny.png  5x5  rejected: 5x5 is smaller than 16 pixels" in out
    assert "400 steps of 4 show each image about 1600 times" in out
    assert out.endswith("1 of 2 images usable\n")
    assert "usable images: 1, few" in err
    assert "inner: folders within" in err


def test_check_needs_no_torch(tmp_path: Path) -> None:
    person = Person("alice", "gloop", tmp_path)
    draw_images(person, seed=0)
    code = (
        "import sys; from fedshow_client.commands.check import check; from pathlib import Path;"
        f"check(Path({str(person.images)!r}), base='toyworld', name='x', class_word='cat',"
        f" sheet=Path({str(tmp_path / 'sheet.png')!r}), as_json=False);"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
    assert (tmp_path / "sheet.png").is_file()


def colours(cell: Image.Image) -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in np.asarray(cell).reshape(-1, 3)}


def test_the_sheet_draws_crops_subjects_and_refusals(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "black", (600, 400))
    mask = Image.new("L", (600, 400))
    mask.paste(255, (200, 100, 400, 300))
    mask.save(tmp_path / "a.mask.png")
    picture(tmp_path / "b.png", "black", (5, 5))
    (tmp_path / "c.png").write_bytes(b"no")
    picture(tmp_path / "d.png", "green", (400, 600))
    sheet = contact_sheet(list(previews(tmp_path).values()))
    cells = [sheet.crop((n * CELL, 0, (n + 1) * CELL, CELL)) for n in range(4)]
    assert {FIRST, SUBJECT} <= colours(cells[0])
    assert not {FIRST, SUBJECT} & colours(cells[1])
    assert not {FIRST, SUBJECT} & colours(cells[2])
    assert FIRST in colours(cells[3])
    assert SUBJECT not in colours(cells[3])


def test_the_drawn_box_is_the_crop(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "black", (4000, 400))
    item = previews(tmp_path)["a.png"]
    cell = np.asarray(contact_sheet([item]))[:CELL]
    rows, columns = np.nonzero((cell == FIRST).all(-1))
    scale = (CELL - 32) / 4000
    left, _, right, _ = item.crops[0].outline
    assert abs(columns.min() - (16 + left * scale)) <= 1.5
    assert abs(columns.max() - (16 + right * scale)) <= 2.5
    assert rows.size
