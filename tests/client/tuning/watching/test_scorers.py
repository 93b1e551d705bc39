"""Scorers: toyworld's encoder, and tiny CLIP and DINO models as folders."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from fedshow.errors import InvalidInput
from fedshow.families import Base
from fedshow.scoring.alignment import image_alignment
from fedshow.scoring.encoders import Preparation, open_encoder
from fedshow.scoring.scorers import Scorer, ToyworldScorer, named_in
from fedshow.toyworld.heldout import draw_heldout
from fedshow_client.tuning.watching.scorers import scorer_for
from fedshow_client.tuning.watching.settings import WatchSettings
from tests.stage.scorers import tiny_arcface, tiny_clip, tiny_dino

CPU = torch.device("cpu")


def pictures(name: str, count: int = 3) -> list[Image.Image]:
    return [p.image for p, _ in draw_heldout(name, count, random.Random(3))]


@pytest.fixture(params=["toyworld", "clip", "dino", "arcface"])
def scorer(request: pytest.FixtureRequest, tmp_path: Path) -> Scorer:
    if request.param == "toyworld":
        return ToyworldScorer()
    make = {"clip": tiny_clip, "dino": tiny_dino, "arcface": tiny_arcface}[request.param]
    return open_encoder(make(tmp_path / request.param), CPU)


def test_every_scorer_measures_pictures(scorer: Scorer) -> None:
    """The contract of Scorer."""
    images = pictures("gloop")
    features = scorer.features(images)
    assert features.shape[0] == 3
    assert features.norm(dim=1) == pytest.approx([1.0] * 3, abs=1e-5)
    assert torch.equal(features, scorer.features(images)), "the same pictures, the same numbers"
    assert torch.allclose(features[1:2], scorer.features(images[1:2]), atol=1e-5)
    assert image_alignment(features, features[:1])[0] == pytest.approx(1, abs=1e-5)
    text = scorer.text_scores(images, ["a monster", "a dog", "a robot in the snow"])
    assert text is None or text.shape == (3,)
    assert scorer.name


def test_pictures_of_every_shape_and_mode_are_measured(scorer: Scorer) -> None:
    odd = [Image.new("L", (300, 17), 90), Image.new("RGBA", (5, 40)), Image.new("P", (64, 64))]
    assert scorer.features(odd).isfinite().all()


def test_toyworld_tells_characters_apart_and_reads_kind_and_place() -> None:
    scorer = ToyworldScorer()
    known = scorer.features(pictures("gloop"))
    own, other = (image_alignment(scorer.features(pictures(n)), known) for n in ("gloop", "luna"))
    assert own.min() > other.max()
    assert named_in("a monster on the beach") == {"kind": "monster", "place": "beach"}
    assert named_in("photo of a man") == {}


def test_toyworld_text_score_falls_when_the_picture_shows_another_place() -> None:
    scorer = ToyworldScorer()
    (drawn, caption), *_ = draw_heldout("gloop", 1, random.Random(3))
    place = named_in(caption)["place"]
    phrases = {"beach": "on the beach", "snow": "in the snow"}
    other = "snow" if place == "beach" else "beach"
    wrong = scorer.text_scores([drawn.image], [f"a monster {phrases[other]}"])
    assert scorer.text_scores([drawn.image], [caption]) > 0.5 > wrong


def test_clip_scores_depend_on_picture_and_text(tmp_path: Path) -> None:
    scorer = open_encoder(tiny_clip(tmp_path / "clip"), CPU)
    images = pictures("gloop", 1) + pictures("luna", 1)
    same = scorer.text_scores(images, ["a monster"] * 2)
    other = scorer.text_scores(images, ["a robot in the snow"] * 2)
    assert same is not None
    assert other is not None
    assert len({round(float(value), 6) for value in (*same, *other)}) == 4
    assert same.abs().max() <= 1
    long = scorer.text_scores(images[:1], ["a monster " * 40])
    assert long is not None, "texts longer than CLIP reads are cut"


def test_dino_knows_no_text(tmp_path: Path) -> None:
    assert open_encoder(tiny_dino(tmp_path / "dino"), CPU).text_scores([], []) is None


def test_preparation_follows_the_folder(tmp_path: Path) -> None:
    said = {"size": {"shortest_edge": 40}, "crop_size": {"height": 20, "width": 20}}
    said |= {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    prepare = Preparation.of(tmp_path, 224, (0.0,) * 3, (1.0,) * 3)
    wide = Image.new("RGB", (160, 80), "black")
    wide.paste("white", (60, 20, 100, 60))  # the middle, which the crop must show, and nothing else
    pixels = prepare([wide])
    assert pixels.shape == (1, 3, 20, 20)
    assert pixels[..., 2:-2, 2:-2].min() == pytest.approx(2.0, abs=0.1)
    assert Preparation.of(tmp_path / "none", 224, (0.0,) * 3, (1.0,) * 3).crop == 224


@pytest.mark.parametrize("content", [None, "{", '{"model_type": "bert"}', '{"model_type": "clip"}'])
def test_a_folder_that_is_no_scorer_is_refused_by_name(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(InvalidInput, match=str(tmp_path)):
        open_encoder(tmp_path, CPU)


def test_pickled_weights_are_never_loaded(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="safetensors"):
        open_encoder(tiny_clip(tmp_path / "clip", safe=False), CPU)


def test_toyworld_has_a_scorer_and_other_bases_none_unless_named(
    base: Base, tmp_path: Path
) -> None:
    other = replace(base, card=base.card.model_copy(update={"name": "somebody/else"}))
    assert scorer_for(other, WatchSettings()) is None
    found = scorer_for(other, WatchSettings(scorer=tiny_dino(tmp_path / "dino"), patience=1))
    assert found is not None
    assert found.name == "dino dino"
    with pytest.raises(
        InvalidInput, match="patience 2: base somebody/else has no measuring encoder"
    ):
        scorer_for(other, WatchSettings(patience=2))
    own = scorer_for(base, WatchSettings(patience=2))
    assert (own is not None) == (base.card.name == "toyworld")
