"""A base of one's own with CLIP, DINO and ArcFace on disk: the same command."""

import json
from pathlib import Path

import pytest
from PIL import Image

from fedshow.families import describe
from tests.stage.bases import make_sd1
from tests.stage.concepts import random_concept
from tests.stage.scorers import tiny_arcface, tiny_clip, tiny_dino

FEW = ("--per-prompt", 2, "--drift", 1, "--steps", 1)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a narrow SD 1.5, a concept for it, three scorers and pictures."""
    folder = tmp_path_factory.mktemp("own")
    base = make_sd1(folder / "base")
    random_concept(folder / "mimi.safetensors", describe(str(base)), "mimi", 0, class_word="cat")
    tiny_clip(folder / "clip")
    tiny_dino(folder / "dino")
    tiny_arcface(folder / "faces")
    (folder / "pictures").mkdir()
    Image.new("RGB", (50, 70), "orange").save(folder / "pictures" / "1.jpg")
    (folder / "pictures" / "notes.txt").write_text("mine")
    (folder / "prompts.txt").write_text("a {}\na {} at sea\n")
    return folder


def test_every_scorer_has_its_row(call, own: Path) -> None:
    models = (own / "mimi.safetensors", "--base", own / "base")
    scorers = [p for name in ("clip", "dino", "faces") for p in ("--scorer", own / name)]
    rest = ("--reference", f"mimi={own}/pictures", "--prompts", own / "prompts.txt", *FEW)
    code, out, err = call("evaluate", *models, *scorers, *rest, "--json")
    assert code == 0, err
    report = json.loads(out)
    assert report["scorers"] == ["clip clip", "dino dino", "arcface faces"]
    (model,) = report["models"]
    mimi = model["concepts"]["mimi"]
    assert {*mimi["image"]} == {*report["scorers"]}
    assert {*mimi["text"]} == {"clip clip"}
    assert {*model["drift"]["features"]} == {*report["scorers"]}
    assert all(-1 <= one["value"] <= 1 for one in mimi["image"].values())


def test_without_a_scorer_it_is_said_what_to_name(call, own: Path) -> None:
    code, _, err = call("evaluate", own / "mimi.safetensors", "--base", own / "base")
    assert (code, err.count("\n")) == (2, 1)
    assert "name CLIP, DINOv2 or ArcFace models with --scorer" in err


def test_two_scorers_of_one_name_are_not_mixed_up(call, own: Path, tmp_path: Path) -> None:
    again = ("--scorer", own / "clip", "--scorer", tiny_clip(tmp_path / "clip"))
    code, _, err = call("evaluate", own / "mimi.safetensors", "--base", own / "base", *again)
    assert (code, "two scorers are called 'clip clip'" in err) == (2, True)
