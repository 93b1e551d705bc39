"""The newer families' own pipeline.py, where there are diffusers and what it needs, nothing else."""

import ast
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

import fedshow
from fedshow.families import open_base
from fedshow.releases import verify_release
from fedshow.releases.contents import STANDALONE, check_contents
from fedshow.releases.manifest import FileEntry
from fedshow.sampling.model import Model
from fedshow_server.fusion import fuse_to_folder
from tests.integrations.conftest import DrawAlone
from tests.integrations.recipes import LEFT, PLAIN, REGIONS, TINY_BOX, apart, by_fedshow
from tests.stage.bases import MAKERS
from tests.stage.concepts import random_concept

WORDS: dict[str, dict[str, Any]] = {
    "words": PLAIN,
    "one concept": {**PLAIN, "prompt": "a <potter>"},
    "negative": {**PLAIN, "negative_prompt": "a <mimi>"},
}
BOXES = {**REGIONS, TINY_BOX: {**REGIONS[TINY_BOX], "height": 40, "width": 72}}
RECIPES = {"sdxl": WORDS | BOXES, "sd3": WORDS}
SHARED = ("check_box", "cells", "levels", "RegionalAttention")
"""What every pipeline with regions defines alike: each ships alone."""


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """By family two concepts of noise, averaged on a tiny base."""
    torch.set_num_threads(1)
    made = {}
    for family in RECIPES:
        root = tmp_path_factory.mktemp(family)
        base = str(MAKERS[family](root / "base"))
        card = open_base(base).card
        concepts = [root / "potter.safetensors", root / "mimi.safetensors"]
        for seed, path in enumerate(concepts, start=1):
            random_concept(path, card, path.stem, seed, size=0.15)
        fuse_to_folder(base, concepts, root / "release", method="average")
        made[family] = root / "release"
    return made


@pytest.fixture(scope="module")
def drawn(
    releases: Mapping[str, Path], draw_alone: DrawAlone
) -> Mapping[str, dict[str, Image.Image]]:
    """By family every recipe, drawn where fedshow is not."""
    return {family: draw_alone(releases[family], own) for family, own in RECIPES.items()}


@pytest.fixture(scope="module")
def models(releases: Mapping[str, Path]) -> Mapping[str, Model]:
    return {family: fedshow.load(release) for family, release in releases.items()}


@pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family, own in RECIPES.items() for name in own]
)
def test_draws_what_fedshow_draws(
    models: Mapping[str, Model],
    drawn: Mapping[str, dict[str, Image.Image]],
    family: str,
    name: str,
) -> None:
    """The same seed of the same release, pixel by pixel."""
    expected = by_fedshow(models[family], RECIPES[family][name])
    assert apart(drawn[family][name], expected).max() <= 1


@pytest.mark.parametrize("family", RECIPES)
def test_all_that_is_said_shows(drawn: Mapping[str, dict[str, Image.Image]], family: str) -> None:
    """Otherwise pictures could agree without it."""
    words = drawn[family]["words"]
    for name, picture in drawn[family].items():
        if name != "words" and picture.size == words.size:
            assert apart(picture, words).max() > 3, name


def test_a_box_that_is_none_is_refused_and_layers_stay_as_they_are(
    releases: Mapping[str, Path],
) -> None:
    folder = str(releases["sdxl"])
    pipe = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)
    pipe.set_progress_bar_config(disable=True)
    before = dict(pipe.unet.attn_processors)
    with pytest.raises(ValueError, match=r"box .*: use 0 <= left < right <= 1"):
        pipe("a cat", regions=[((0, 0, 1.5, 1), "a robot")])

    def stop(*_: object) -> dict[str, object]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipe("a cat", regions=[(LEFT, "a robot")], callback_on_step_end=stop)
    assert pipe.unet.attn_processors == before
    packed, *_ = pipe.encode_prompt("a cat", device="cpu")
    assert packed.shape[1] == pipe.config.slots * pipe.tokenizer.model_max_length


def test_every_pipeline_with_regions_has_the_same_ones() -> None:
    one, other = (_definitions(STANDALONE[family]) for family in ("sd1", "sdxl"))
    assert [one[name] for name in SHARED] == [other[name] for name in SHARED]


def test_a_release_with_the_pipeline_without_regions_still_verifies(
    releases: Mapping[str, Path],
) -> None:
    first = "27040d1a1ffc9efa281f5abbb7dfdf0242954cfd36d7238a94e1e50172ae27c5"
    found = verify_release(releases["sdxl"]).files
    assert found["pipeline.py"].sha256 != first
    check_contents({**found, "pipeline.py": FileEntry(sha256=first, size_bytes=6119)})


def _definitions(file: str) -> dict[str, str]:
    tree = ast.parse((files("fedshow.releases") / file).read_text())
    return {part.name: ast.dump(part) for part in tree.body if hasattr(part, "name")}
