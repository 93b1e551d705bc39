"""Whether somebody named a concept file, a release or a base: drawing, evaluating and exporting agree."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from fedshow.given import Kind, kind_of
from tests.stage.concepts import concept_bytes


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """One of each."""
    (tmp_path / "potter.safetensors").write_bytes(concept_bytes("potter"))
    (tmp_path / "notes.txt").write_text("no model at all")
    save_file({"model.diffusion_model.x": np.zeros(1)}, tmp_path / "whole.safetensors")
    for folder, file in (
        ("release", "manifest.json"),
        ("lora", "fused.safetensors"),
        ("pipeline", "model_index.json"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        ("potter.safetensors", "concept"),
        ("notes.txt", "concept"),  # whoever reads it says what is wrong
        ("whole.safetensors", "base"),
        ("release", "release"),
        ("lora", "release"),
        ("pipeline", "base"),
        ("empty", "base"),
        ("toyworld", "base"),
        ("somebody/model", "base"),
    ],
)
def test_what_it_would_be(
    here: Path, monkeypatch: pytest.MonkeyPatch, named: str, kind: Kind
) -> None:
    monkeypatch.chdir(here)
    assert kind_of(named) == kind_of(Path(named)) == kind
