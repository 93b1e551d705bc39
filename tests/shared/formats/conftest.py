"""Concepts to export, a release with every kind of layer, and pipelines to load them into."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fedshow.concepts import ConceptFile
from fedshow.families import Base, BaseCard
from fedshow.families.opening import load_pipeline
from fedshow_server.fusion import fuse_to_folder
from tests.stage.concepts import varied_concept

MakeVaried = Callable[..., tuple[Path, ConceptFile]]


@pytest.fixture
def varied(card: BaseCard, tmp_path: Path) -> MakeVaried:
    """Makes a concept file of any rank, alpha and dtype for the embedded base."""

    def make(**options: Any) -> tuple[Path, ConceptFile]:
        file = tmp_path / "potter.safetensors"
        return file, varied_concept(file, card, **options)

    return make


@pytest.fixture
def pipeline(opened_base: Base) -> Any:
    """The embedded base by itself, for other programs to change."""
    return load_pipeline(opened_base.folder, "cpu", torch.float32)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, make_concept: Any) -> Path:
    """A release of two concepts of noise, averaged."""
    folder: Path = tmp_path_factory.mktemp("made")
    files = [folder / f"{name}.safetensors" for name in ("potter", "hermione")]
    for seed, file in enumerate(files):
        make_concept(file.stem, seed).save(file)
    fuse_to_folder("toyworld", files, folder / "release", method="average")
    return folder / "release"


@pytest.fixture
def mixed(card: BaseCard, tmp_path: Path) -> Path:
    """The LoRA of a release as large fusions leave it: ranks that differ, layers that are one matrix."""
    generator = torch.Generator().manual_seed(1)

    def noise(*shape: int) -> torch.Tensor:
        return (torch.randn(shape, generator=generator) * 0.05).half()

    folder = tmp_path / "mixed"
    folder.mkdir()
    tensors = {
        f"tokens.<{name}{number}>": noise(card.slots, card.token_dim)
        for name in ("potter", "hermione")
        for number in (1, 2)
    }
    for number, (layer, (d_in, d_out)) in enumerate(sorted(card.layers.items())):
        if number % 3 == 0:
            tensors[f"{layer}.delta"] = noise(d_out, d_in)
        else:
            tensors[f"{layer}.lora_A.weight"] = noise(3 + number % 2, d_in)
            tensors[f"{layer}.lora_B.weight"] = noise(d_out, 3 + number % 2)
    about = {
        "release": "ab" * 8,
        "base": card.ref.model_dump(),
        "family": card.family,
        "slots": card.slots,
        "concepts": {name: [f"<{name}1>", f"<{name}2>"] for name in ("potter", "hermione")},
    }
    save_file(tensors, folder / "fused.safetensors", metadata={"fedshow": json.dumps(about)})
    concepts = [{"name": name, "class": "monster"} for name in about["concepts"]]
    (folder / "concepts.json").write_text(json.dumps(concepts))
    return folder
