"""What cannot be evaluated is one line and exit code 2, before anything is drawn."""

from pathlib import Path

import pytest
from PIL import Image

from fedshow.sampling.model import Model
from tests.stage.concepts import CARD, concept_bytes


@pytest.fixture(autouse=True)
def nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "draw", lambda *_, **__: pytest.fail("drew"))


@pytest.fixture
def folder(studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: the studio's files, a concept of another base, odd files."""
    for entry in studio.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "stranger.safetensors").write_bytes(concept_bytes("stranger"))
    local = {"base": CARD.ref.model_copy(update={"name": "local"})}
    (tmp_path / "own.safetensors").write_bytes(concept_bytes("own", **local))
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    (tmp_path / "bad.txt").write_text("a cat\n")
    (tmp_path / "long.txt").write_text("a {}\na {}" + " word" * 40)
    monkeypatch.chdir(tmp_path)
    return tmp_path


FIGARO = "figaro.safetensors"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("nowhere", "no release folder and no concept file: base 'nowhere'"),
        ("toyworld", "no model here holds a concept"),
        (f"{FIGARO} --reference figaro=nowhere", "nowhere: not a folder of reference pictures"),
        (f"{FIGARO} --reference figaro=empty", "empty: no pictures (looked for .avif"),
        (f"{FIGARO} --reference figaro", "reference 'figaro': write NAME=FOLDER"),
        (
            f"{FIGARO} --reference figaro=figaro-pictures --reference figaro=bolt-pictures",
            "figaro has a folder already, figaro-pictures",
        ),
        (f"{FIGARO} --reference bolt=bolt-pictures", "<bolt> is in none of these models"),
        (
            f"{FIGARO} fused --reference bolt=bolt-pictures",
            "figaro.safetensors holds none of <bolt>",
        ),
        (f"{FIGARO} stranger.safetensors", "are of two bases (toyworld ("),
        ("stranger.safetensors --base toyworld", "stranger.safetensors was made for base tiny ("),
        ("own.safetensors", "name it with --base"),
        (f"{FIGARO} toyworld --base elsewhere/else", "two bases, elsewhere/else and toyworld"),
        (f"{FIGARO} --prompts nowhere.txt", "prompts nowhere.txt cannot be read"),
        (f"{FIGARO} --prompts bad.txt", "prompt 1, 'a cat', needs {} where the concept stands"),
        (f"{FIGARO} --prompts long.txt", "tokens, limit 32: 'a kitten word"),
        (f"{FIGARO} --per-prompt 0", "--per-prompt 0: use 1 to 64 pictures"),
        (f"{FIGARO} --drift 65", "--drift 65: use 0 to 64 pictures"),
        (f"{FIGARO} --steps 0", "steps 0: must be a number of 1 to 1000"),
        (f"{FIGARO} --scorer empty", "scorer empty: config.json cannot be read"),
        (f"{FIGARO} --scene plain.png", "plain.png carries no recipe"),
        (f"{FIGARO} --device tpu", "device 'tpu': use auto, cpu or cuda"),
        (f"{FIGARO} --sheet sheet.jpg", "what is written is .png"),
        (f"{FIGARO} --work plain.png", "plain.png is a file; name a folder"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(
    call, folder: Path, arguments: str, says: str
) -> None:
    code, out, err = call("evaluate", *arguments.split())
    assert (code, out, says in err, err.count("\n")) == (2, "", True, 1), err


def test_a_release_that_is_not_whole_is_said(call, folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "manifest.json").write_bytes((folder / "fused" / "manifest.json").read_bytes())
    code, _, err = call("evaluate", broken)
    assert (code, err) == (1, f"fedshow: {broken}: concepts.json is missing\n")
