"""Every command that writes says where it cannot, before it reads or computes anything."""

import os
from pathlib import Path

import pytest
from PIL import Image

from fedshow.commands.destination import output_file, output_folder
from fedshow.errors import InvalidInput

WRITING_FILES = {
    "tune": ("tune", "nowhere", "--name", "mimi", "--class", "cat", "-o"),
    "tune --progress": (
        *("tune", "nowhere", "--name", "mimi", "--class", "cat"),
        *("-o", "mimi.safetensors", "--progress"),
    ),
    "sample": ("sample", "nowhere", "a cat", "-o"),
    "check": ("check", "nowhere", "--sheet"),
    "export": ("export", "nowhere", "--to", "kohya", "-o"),
    "import": ("import", "nowhere", "-o"),
}
WRITING_FOLDERS = {
    "fuse": ("fuse", "nowhere.safetensors", "-o"),
    "pull": ("pull", "nowhere", "-o"),
    "demo": ("demo", "--out"),
    "export a folder": ("export", "nowhere", "--to", "diffusers", "-o"),
}
WRITING = WRITING_FILES | WRITING_FOLDERS


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", WRITING.values(), ids=WRITING)
def test_a_file_in_place_of_a_folder_is_named_first(call, tmp_path: Path, command) -> None:
    (tmp_path / "notes").write_text("mine")
    code, _, err = call(*command, "notes/new/out.png")
    assert (code, err) == (2, "fedshow: folder notes/new cannot be made: Not a directory\n")


@pytest.mark.parametrize("command", WRITING_FILES.values(), ids=WRITING_FILES)
def test_a_folder_is_no_file(call, tmp_path: Path, command) -> None:
    (tmp_path / "out.png").mkdir()
    code, _, err = call(*command, "out.png")
    assert (code, err) == (2, "fedshow: out.png is a folder; name a file in it\n")


@pytest.mark.parametrize("command", WRITING_FOLDERS.values(), ids=WRITING_FOLDERS)
def test_a_file_is_no_folder(call, tmp_path: Path, command) -> None:
    (tmp_path / "out").write_text("mine")
    code, _, err = call(*command, "out")
    assert (code, err) == (2, "fedshow: out is a file; name a folder\n")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("command", ["sample", "check"])
def test_pictures_are_png(call, command: str) -> None:
    code, _, err = call(*WRITING[command], "out.jpg")
    assert (code, err) == (2, "fedshow: out.jpg: what is written is .png; name it out.png\n")


def test_folders_above_are_made(tmp_path: Path) -> None:
    assert output_file(tmp_path / "a" / "b" / "out.png").parent.is_dir()
    assert output_folder(tmp_path / "c" / "d" / "out").parent.is_dir()
    assert not (tmp_path / "c" / "d" / "out").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o500)
    with pytest.raises(InvalidInput, match="theirs is not writable"):
        output_file(tmp_path / "theirs" / "out.png")


def test_a_sheet_lands_in_a_folder_that_was_not_there(call, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (64, 64), (80, 9, 9)).save(tmp_path / "pictures" / "1.png")
    assert call("check", "pictures", "--sheet", "new/sheet.png")[0] == 0
    with Image.open(tmp_path / "new" / "sheet.png") as sheet:
        assert sheet.format == "PNG"
