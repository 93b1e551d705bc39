"""Whether a path is a scorer: asked by client and server, and answered as opening it would."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fedshow.errors import InvalidInput
from fedshow.scoring.encoders import open_encoder
from fedshow.scoring.locating import looks_like_scorer
from fedshow_client.tuning.watching.settings import WatchSettings
from fedshow_server.settings import load_settings
from tests.stage.scorers import tiny_arcface, tiny_dino


def nothing(folder: Path) -> Path:
    folder.mkdir()
    return folder


SCORERS: dict[str, Callable[[Path], Path]] = {
    "a DINOv2": tiny_dino,
    "a folder with an ArcFace": tiny_arcface,
    "an ArcFace": lambda folder: tiny_arcface(folder) / "faces.onnx",
}
NONE: dict[str, Callable[[Path], Path]] = {
    "an empty folder": nothing,
    "a missing ArcFace": lambda folder: nothing(folder) / "faces.onnx",
    "another file": lambda folder: tiny_dino(folder) / "config.json",
    "two ArcFaces": lambda folder: tiny_arcface(tiny_arcface(folder), "second.onnx"),
}


@pytest.mark.parametrize("make", SCORERS.values(), ids=SCORERS)
def test_what_can_be_opened_is_taken_by_client_and_server(tmp_path: Path, make) -> None:
    scorer = make(tmp_path / "scorer")
    assert looks_like_scorer(scorer)
    WatchSettings(scorer=scorer).check()
    assert load_settings(data=tmp_path, scorer=scorer).scorer == scorer
    assert open_encoder(scorer, torch.device("cpu")).name


@pytest.mark.parametrize("make", NONE.values(), ids=NONE)
def test_what_cannot_be_opened_is_refused_by_client_and_server(tmp_path: Path, make) -> None:
    scorer = make(tmp_path / "scorer")
    with pytest.raises(InvalidInput, match=r"scorer"):
        WatchSettings(scorer=scorer).check()
    with pytest.raises(InvalidInput, match=r"scorer"):
        load_settings(data=tmp_path, scorer=scorer)
    with pytest.raises(InvalidInput, match=r"scorer"):
        open_encoder(scorer, torch.device("cpu"))
