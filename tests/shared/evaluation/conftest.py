"""Two concepts that nobody had to tune, fused, and pictures of the real ones."""

import random
from pathlib import Path

import pytest

from fedshow.families import Base
from fedshow.toyworld.heldout import draw_heldout
from fedshow_server.fusion.offline import fuse_to_folder
from tests.stage.concepts import described_concept


@pytest.fixture(scope="session")
def studio(opened_base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two concept files, their release, and a folder of private pictures of each."""
    folder = tmp_path_factory.mktemp("studio")
    described_concept(folder / "figaro.safetensors", opened_base, "figaro", "black", "kitten")
    described_concept(folder / "bolt.safetensors", opened_base, "bolt", "orange", "robot")
    for name in ("figaro", "bolt"):
        private = folder / f"{name}-pictures"
        private.mkdir()
        drawn = draw_heldout(name, 3, random.Random(1), 64, places=["beach"])
        for number, (picture, _) in enumerate(drawn):
            picture.image.save(private / f"{number}.png")
            picture.masks[0].save(private / f"{number}.mask.png")
    files = [folder / "figaro.safetensors", folder / "bolt.safetensors"]
    fuse_to_folder("toyworld", files, folder / "fused", method="average")
    (folder / "prompts.txt").write_text("photo of a {} on the beach\na {}\n")
    return folder
