"""The options of `fedshow tune` that choose the recipe and what is looked at."""

import importlib.util
import json
from pathlib import Path

import pytest

from fedshow.concepts import read_concept
from fedshow.demo.folders import Person
from tests.conftest import BASE, Call


def tune(call: Call, person: Person, folder: Path, *options: object) -> tuple[int, str, str]:
    out = folder / "gloop.safetensors"
    named = ("--name", "gloop", "--class", "monster", "--base", BASE, "-o", out)
    short = ("--set", "variants=2", "--no-leakage", "--device", "cpu")
    return call("tune", person.images, *named, *short, *options)


def test_options_reach_the_recipe_and_the_watch(call: Call, person: Person, tmp_path: Path) -> None:
    events = [] if importlib.util.find_spec("tensorboard") is None else ["--tensorboard", tmp_path]
    recipe = ("--method", "p-plus", "--steps", 2, "--no-flip", "--set", "batch=2", "--seed", 7)
    code, out, err = tune(call, person, tmp_path, *recipe, "--sample-steps", 1, *events, "--json")
    assert code == 0, err
    facts = json.loads(out)
    header = read_concept(tmp_path / "gloop.safetensors").header
    assert header.method == "p-plus"
    known = {"batch": 2, "flip": False, "seed": 7, "steps": 2, "variants": 2}
    assert {key: header.recipe[key] for key in known} == known
    assert facts["kept_step"] in (1, 2)
    assert facts["identity"] == header.metrics["identity"]
    assert facts["report"] == str(tmp_path / "gloop.report.html")
    assert "p-plus" in (tmp_path / "gloop.report.html").read_text()
    assert len(list((tmp_path / "gloop.safetensors.work/samples").iterdir())) == 18
    assert len(list(tmp_path.glob("events.*"))) == bool(events)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--method", "dreambooth"), "ed-lora, lora, p-plus"),
        (("--set", "lr_unit=1"), "did you mean lr_unet?"),
        (("--set", "zoom=9"), "zoom = 9.0"),
        (("--scorer", "nowhere"), "scorer nowhere is none: name a CLIP"),
        (("--scorer", "x", "--no-samples"), "scorer"),
    ],
)
def test_wrong_options_are_said_in_a_line(
    call: Call, person: Person, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    code, _, err = tune(call, person, tmp_path, *options)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "gloop.safetensors").exists()
