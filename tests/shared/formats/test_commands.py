"""`fedshow export`, `import` and `pull --format single-file` as people call them."""

import json
import shutil
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from fedshow.commands.export import FOLDERS, FormatName
from fedshow.concepts import read_concept
from fedshow.errors import InvalidInput
from fedshow.formats import FORMATS
from fedshow.formats.pulled import RELEASE, check_checkpoint_folder, make_checkpoint_folder
from fedshow.releases import Manifest
from fedshow.transfer.staging import staged

WORD = "kohya-embeddings/potter1.safetensors"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_command_knows_every_format() -> None:
    assert list(FormatName) == list(FORMATS)
    assert set(FOLDERS) == {name for name, each in FORMATS.items() if not each.suffix}


def test_out_and_back(call, varied, card) -> None:
    varied(alpha=2.0)
    code, out, err = call("export", "potter.safetensors", "--to", "edlora", "-o", "out.pth")
    assert (code, out, err) == (0, "out.pth: edlora, <potter> as <potter1> <potter2>\n", "")
    code, out, _ = call("import", "out.pth", "-o", "back.safetensors")
    assert (code, out) == (
        0,
        "back.safetensors: <potter> as <potter1> <potter2>, method ed-lora, rank 4\n",
    )
    read_concept(Path("back.safetensors"), card)


def test_what_is_lost_is_said(call, varied) -> None:
    varied()
    command = ("export", "potter.safetensors", "--to", "kohya", "-o", "out.safetensors")
    code, _, err = call(*command)
    lost = "words have one vector here: the mean of their 7 layer-wise ones"
    assert (code, err) == (0, f"note: {lost}\n")
    _, out, _ = call(*command, "--json")
    assert json.loads(out) == {
        "output": "out.safetensors",
        "concepts": {"potter": ["<potter1>", "<potter2>"]},
        "lost": lost,
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere", "--to", "kohya", "-o", "out.safetensors"), "'nowhere' is no concept file and"),
        (("toyworld", "--to", "kohya", "-o", "out.safetensors"), "nothing in it was taught"),
        (("potter.safetensors", "--to", "kohya", "-o", "out"), "out: kohya is one file, named …."),
        (("potter.safetensors", "--to", "edlora", "-o", "out.pt"), "edlora is one file, named ….p"),
        (
            ("potter.safetensors", "--to", "peft", "--full", "-o", "out"),
            "--full is for single-file",
        ),
        (
            ("potter.safetensors", "--to", "peft", "--bundle", "-o", "out"),
            "--bundle is for kohya, ",
        ),
        (
            ("potter.safetensors", "--to", "peft", "-o", "full"),
            "full: peft is a folder, it must be",
        ),
    ],
)
def test_refusals(call, varied, arguments: tuple[str, ...], says: str) -> None:
    varied()
    Path("full").mkdir()
    Path("full/notes").write_text("mine")
    code, _, err = call("export", *arguments)
    assert (code, says in err, err.count("\n")) == (2, True, 1), err


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "potter.safetensors", "--to", "kohya", "-o", "./potter.safetensors"),
        ("export", "potter.safetensors", "--to", "kohya", "-o", "link.safetensors"),
        ("import", "kohya.safetensors", "-o", "kohya.safetensors"),
        ("import", "kohya.safetensors", "--embedding", WORD, "-o", WORD),
        ("import", "peft", "-o", "peft/unet/adapter_model.safetensors"),
    ],
)
def test_what_is_read_is_not_replaced(call, varied, arguments: tuple[str, ...]) -> None:
    varied()
    for to, out in (("kohya", "kohya.safetensors"), ("peft", "peft")):
        assert call("export", "potter.safetensors", "--to", to, "-o", out)[0] == 0
    Path("link.safetensors").symlink_to("potter.safetensors")
    before = {file: file.read_bytes() for file in Path().rglob("*.safetensors")}
    code, _, err = call(*arguments)
    assert (code, "would be replaced: name another file" in err) == (2, True), err
    assert {file: file.read_bytes() for file in Path().rglob("*.safetensors")} == before


@pytest.mark.parametrize("to", ["kohya", "peft"])
def test_words_alone_are_no_adapters(call, varied, to: str) -> None:
    varied(adapters=False)
    code, _, err = call(
        "export", "potter.safetensors", "--to", to, "-o", f"out{FORMATS[to].suffix}"
    )
    assert (code, err) == (
        2,
        "fedshow: 'potter.safetensors' has words alone; use --to embeddings or diffusers\n",
    )
    assert call("export", "potter.safetensors", "--to", "embeddings", "-o", "words")[0] == 0
    assert call("export", "potter.safetensors", "--to", "edlora", "-o", "out.pth")[0] == 0
    code, out, _ = call("import", "out.pth", "-o", "back.safetensors")
    assert (code, "method p-plus" in out) == (0, True)


def test_import_takes_what_is_given(call, varied, tmp_path: Path) -> None:
    varied(shared=True)
    call("export", "potter.safetensors", "--to", "kohya", "-o", "out.safetensors")
    code, out, _ = call(
        *("import", "out.safetensors", "--name", "snape", "--class", "man", "--base", "toyworld"),
        *("--embedding", "out-embeddings/potter2.safetensors", "-o", "back.safetensors", "--json"),
    )
    assert code == 0
    assert json.loads(out)["name"] == "snape"
    header = read_concept(tmp_path / "back.safetensors").header
    assert (header.words, header.class_word) == (("<snape1>",), "man")


def checkpoint(release: Path, out: Path) -> None:
    """What `pull` does, but for the way."""
    check_checkpoint_folder(out)
    with staged(out) as staging:
        shutil.copytree(release, staging / RELEASE)
        make_checkpoint_folder(out, staging)


def test_a_pulled_release_becomes_a_checkpoint(release: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    checkpoint(release, out)
    assert {file.name for file in out.iterdir()} == {"model.safetensors", "model-embeddings"}
    assert len(list((out / "model-embeddings").iterdir())) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_pull_makes_a_checkpoint(
    call, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command, with a folder in place of a server."""
    seen: list[Path] = []

    def pull_release(_connection: object, _release: str, out: Path, **_: object) -> Manifest:
        seen.append(out)
        shutil.copytree(release, out)
        return Manifest.read(out)

    monkeypatch.setattr("fedshow.transfer.servers.find_server", lambda *_: MagicMock())
    monkeypatch.setattr("fedshow.transfer.connection.Connection", MagicMock())
    monkeypatch.setattr("fedshow.transfer.folder.pull_release", pull_release)
    code, out, _ = call("pull", "home", "--format", "single-file", "-o", "model")
    assert (code, out.startswith("model: release ")) == (0, True)
    assert seen == [tmp_path / ".model.part" / RELEASE]
    assert (tmp_path / "model" / "model.safetensors").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("stays", [False, True], ids=["beside", "working folder"])
def test_the_next_release_takes_its_place(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    out = tmp_path / "model"
    (out / "model-embeddings").mkdir(parents=True)
    (out / "model-embeddings" / "withdrawn1.safetensors").write_bytes(b"")
    (out / "model.safetensors").write_bytes(b"the last release")
    if stays:  # like a mount point, it can neither be moved nor replaced
        monkeypatch.chdir(out)
    before = out.stat().st_ino
    checkpoint(release, out)
    assert (out.stat().st_ino == before) is stays
    assert {file.name for file in out.iterdir()} == {"model.safetensors", "model-embeddings"}
    assert not (out / "model-embeddings" / "withdrawn1.safetensors").exists()
    assert (out / "model.safetensors").stat().st_size > 1_000_000


def test_a_checkpoint_that_fails_leaves_the_last_one(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    out.mkdir()
    (out / "model.safetensors").write_bytes(b"the last release")
    monkeypatch.setattr("fedshow.formats.export_model", MagicMock(side_effect=OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        checkpoint(release, out)
    assert (out / "model.safetensors").read_bytes() == b"the last release"


def test_what_is_somebody_elses_stays(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes").write_text("mine")
    with pytest.raises(InvalidInput, match="holds 'notes', which is no single file"):
        check_checkpoint_folder(tmp_path / "model")
