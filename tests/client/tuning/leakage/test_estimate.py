"""The estimate on real runs: a model that copies scores high, one that has learnt nothing scores low."""

from pathlib import Path

import pytest

from fedshow.concepts import ConceptFile, read_concept
from fedshow.demo.folders import Person
from fedshow.errors import InvalidInput
from fedshow.families import Base
from fedshow.sampling.model import Model
from fedshow_client.tuning.data.captions import Captions
from fedshow_client.tuning.data.folder import scan
from fedshow_client.tuning.data.latents import encode_all
from fedshow_client.tuning.leakage.membership import known
from fedshow_client.tuning.leakage.verdict import TRACES
from fedshow_client.tuning.objective import Objective
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.trainer import Subject
from fedshow_client.tuning.tune import tune
from tests.client.tuning.conftest import MakeRequest
from tests.conftest import BASE, Call

OVERFIT = {"zoom": 1, "variants": 1, "batch": 2, "lr_unet": 1e-2, "lr_self_attention": 8e-3}
STEPS = 120
LIMIT = 0.3
"""About half of what this tuning leaves, so that another processor's rounding changes nothing."""


@pytest.fixture
def two_pictures(person: Person, tmp_path: Path) -> Path:
    """Two private pictures, without captions and masks."""
    folder = tmp_path / "two"
    folder.mkdir()
    for path in sorted(person.images.glob("gloop-[36].png")):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_concept_that_knows_pictures_by_heart_is_refused_and_stays_where_it_is(
    two_pictures: Path, tmp_path: Path, call: Call, base: Base, request_in: MakeRequest
) -> None:
    out = tmp_path / "gloop.safetensors"
    numbers = [part for key, value in OVERFIT.items() for part in ("--set", f"{key}={value}")]
    code, _, told = call(
        *("tune", two_pictures, "--name", "gloop", "--class", "monster", "--base", BASE),
        *("-o", out, "--steps", STEPS, "--rank", 32, "--no-flip", "--no-samples", *numbers),
        *("--max-leakage", LIMIT),
    )
    concept = read_concept(out)
    found = concept.header.metrics["leakage"]
    assert code == 1
    assert found > LIMIT
    assert f"leakage {found:.3g} is above the limit 0.3; do not share {out}" in told
    assert f"leakage {found:.2f}: " in told
    assert f"leakage {found:.2f}: " in out.with_suffix(".report.html").read_text()
    usual = tune(request_in(tmp_path / "usual", {"steps": STEPS}, images=two_pictures))
    by_heart, by_sight = (known_by(file, two_pictures, base) for file in (concept, usual))
    print(f"known by heart {by_heart:.3f}, by usual tuning {by_sight:.3f}")
    assert by_heart > 0.2 > 0.1 > by_sight, "the file alone tells, without any sample"


def known_by(concept: ConceptFile, pictures: Path, base: Base) -> float:
    """What a finished file knows of pictures that nobody described."""
    images = scan(pictures).accepted
    recipe = Recipe.for_base(base, variants=1, zoom=1.0, flip=False)
    captions = Captions("gloop", "monster", [None] * len(images))
    subject = Subject("gloop", "monster", captions, encode_all(base, images, recipe, 0))
    model = Model(base)
    model.add_concept(concept)
    try:
        return known(model, subject, Objective(base.pipeline.scheduler, recipe, base.device), 0)
    finally:
        model.restore()


def test_a_model_that_has_learnt_nothing_gives_nothing_back_twice_the_same(
    request_in: MakeRequest, tmp_path: Path
) -> None:
    told: list[str] = []
    first = tune(
        request_in(tmp_path / "a", {"steps": 1}, leakage=True),
        hear=lambda found: told.append(str(found)),
    )
    again = tune(request_in(tmp_path / "b", {"steps": 1}, leakage=True, max_leakage=TRACES))
    assert first.header.metrics["leakage"] < TRACES
    assert first.header.metrics["leakage"] == again.header.metrics["leakage"]
    assert "none reproduces a picture" in told[0]


def test_a_concept_whose_errors_are_no_numbers_counts_as_known_by_heart(
    two_pictures: Path,
    tmp_path: Path,
    base: Base,
    request_in: MakeRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As 16 bits overflow on some cards: nothing is measured, which is no proof of innocence."""
    concept = tune(request_in(tmp_path, {"steps": 1}, images=two_pictures))
    monkeypatch.setattr(Base, "denoise", lambda _base, noisy, *_: noisy * float("nan"))
    assert known_by(concept, two_pictures, base) == 1.0


def test_without_the_estimate_there_is_no_number_and_no_limit(
    request_in: MakeRequest, tmp_path: Path
) -> None:
    assert "leakage" not in tune(request_in(tmp_path, {"steps": 1})).header.metrics
    with pytest.raises(InvalidInput, match=r"max_leakage 0\.5 needs the estimate"):
        tune(request_in(tmp_path, {"steps": 1}, max_leakage=0.5))
