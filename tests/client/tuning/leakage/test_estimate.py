"""The estimate on real runs: a model that copies scores high, one that has learnt nothing scores low."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fedshow.cli import main
from fedshow.concepts import read_concept
from fedshow.demo.folders import Person
from fedshow.errors import InvalidInput
from fedshow_client.tuning.leakage.verdict import REPRODUCES, TRACES
from fedshow_client.tuning.tune import TuneRequest, tune
from fedshow_client.tuning.watching.settings import WatchSettings
from tests.conftest import BASE

OVERFIT = {"zoom": 1, "variants": 1, "batch": 2, "lr_unet": 1e-2, "lr_self_attention": 8e-3}
Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs `fedshow` here; gives exit code and standard error."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["fedshow", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


@pytest.fixture
def two_pictures(person: Person, tmp_path: Path) -> Path:
    """Two private pictures, without captions and masks."""
    folder = tmp_path / "two"
    folder.mkdir()
    for path in sorted(person.images.glob("gloop-[36].png")):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_concept_that_knows_pictures_by_heart_is_refused_and_stays_where_it_is(
    two_pictures: Path, tmp_path: Path, call: Call
) -> None:
    out = tmp_path / "gloop.safetensors"
    numbers = [part for key, value in OVERFIT.items() for part in ("--set", f"{key}={value}")]
    code, told = call(
        *("tune", two_pictures, "--name", "gloop", "--class", "monster", "--base", BASE),
        *("-o", out, "--steps", 80, "--rank", 32, "--no-flip", "--no-samples", *numbers),
        *("--max-leakage", REPRODUCES),
    )
    found = read_concept(out).header.metrics["leakage"]
    assert code == 1
    assert found > REPRODUCES
    assert f"leakage {found:.3g} is above the limit 0.5; do not share {out}" in told
    assert "samples reproduce a picture of yours" in told
    assert "samples reproduce a picture of yours" in out.with_suffix(".report.html").read_text()


def request(person: Person, folder: Path, **changes: object) -> TuneRequest:
    settings: dict[str, object] = {
        "images": person.images,
        "name": "gloop",
        "class_word": "monster",
        "out": folder / "gloop.safetensors",
        "work": folder / "work",
        "base": BASE,
        "recipe": {"steps": 1, "variants": 2},
        "watch": WatchSettings(samples=False),
    }
    return TuneRequest(**(settings | changes))  # type: ignore[arg-type]


def test_a_model_that_has_learnt_nothing_gives_nothing_back_twice_the_same(
    person: Person, tmp_path: Path
) -> None:
    told: list[str] = []
    first = tune(request(person, tmp_path / "a"), hear=lambda found: told.append(str(found)))
    again = tune(request(person, tmp_path / "b", max_leakage=TRACES))
    assert first.header.metrics["leakage"] < TRACES
    assert first.header.metrics["leakage"] == again.header.metrics["leakage"]
    assert "none reproduces a picture" in told[0]


def test_without_the_estimate_there_is_no_number_and_no_limit(
    person: Person, tmp_path: Path
) -> None:
    assert "leakage" not in tune(request(person, tmp_path, leakage=False)).header.metrics
    with pytest.raises(InvalidInput, match=r"max_leakage 0\.5 needs the estimate"):
        tune(request(person, tmp_path, leakage=False, max_leakage=0.5))
