"""ArcFace models as scorers: what they are given, and what is refused by name."""

import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from fedshow.errors import InvalidInput
from fedshow.scoring.alignment import image_alignment
from fedshow.scoring.encoders import open_encoder
from tests.stage.scorers import tiny_arcface

CPU = torch.device("cpu")


def halves(left: str, right: str, size: tuple[int, int] = (64, 64)) -> Image.Image:
    picture = Image.new("RGB", size, right)
    picture.paste(left, (0, 0, size[0] // 2, size[1]))
    return picture


def test_a_face_is_told_by_where_its_colours_are(tmp_path: Path) -> None:
    scorer = open_encoder(tiny_arcface(tmp_path / "faces"), CPU)
    known = scorer.features([halves("red", "blue")])
    same, larger, mirrored = scorer.features(
        [halves("red", "blue"), halves("red", "blue", (300, 300)), halves("blue", "red")]
    )
    assert scorer.name == "arcface faces"
    assert image_alignment(same[None], known)[0] == pytest.approx(1)
    assert image_alignment(larger[None], known)[0] > 0.98
    assert image_alignment(mirrored[None], known)[0] < 0.5
    assert scorer.text_scores([], []) is None


def test_the_model_sees_colours_from_minus_one_to_one(tmp_path: Path) -> None:
    """Red, green, blue in this order: features of white are all the same, and black's are their opposite."""
    scorer = open_encoder(tiny_arcface(tmp_path / "faces"), CPU)
    white, black, red = scorer.features(
        [Image.new("RGB", (9, 9), c) for c in ("white", "black", "red")]
    )
    assert torch.allclose(white, -black)
    assert (red[:16] > 0).all()
    assert (red[16:] < 0).all()


def test_a_folder_of_several_models_needs_a_file(tmp_path: Path) -> None:
    folder = tiny_arcface(tiny_arcface(tmp_path / "pack"), "detector.onnx")
    with pytest.raises(InvalidInput, match=r"detector\.onnx, faces\.onnx\); name the file"):
        open_encoder(folder, CPU)
    assert open_encoder(folder / "faces.onnx", CPU).name == "arcface faces"


def test_what_is_no_face_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(InvalidInput, match=r"broken\.onnx cannot be loaded"):
        open_encoder(tmp_path / "broken.onnx", CPU)
    detector = tiny_arcface(tmp_path / "detector", outputs=2)
    with pytest.raises(InvalidInput, match=r"2 outputs, a face model has one"):
        open_encoder(detector, CPU)


def test_without_onnxruntime_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InvalidInput, match=r"pip install 'fedshow\[faces\]'"):
        open_encoder(tiny_arcface(tmp_path / "faces"), CPU)
