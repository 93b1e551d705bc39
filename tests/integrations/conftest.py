"""A small release for programs that know nothing of fedshow."""

from pathlib import Path

import pytest

from fedshow_server.fusion import fuse_to_folder
from tests.conftest import BASE, MakeConcept


@pytest.fixture(scope="session")
def release(make_concept: MakeConcept, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two concepts of noise, averaged: every layer-wise row and every adapter shows in pictures."""
    folder = tmp_path_factory.mktemp("made")
    for seed, name in enumerate(("potter", "mimi"), start=1):
        make_concept(name, seed, size=0.15).save(folder / f"{name}.safetensors")
    files = sorted(folder.glob("*.safetensors"))
    fuse_to_folder(BASE, files, folder / "release", method="average")
    return folder / "release"
