"""A small release for programs that know nothing of fedshow, and where such programs run."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from PIL import Image

from fedshow_server.fusion import fuse_to_folder
from tests.conftest import BASE, MakeConcept

PROGRAM = Path(__file__).with_name("without_fedshow.py")
Recipes = Mapping[str, Mapping[str, Any]]
"""By name what the program is asked to draw, as keywords of a release's own pipeline, and the seed."""

DrawAlone = Callable[[Path, Recipes], dict[str, Image.Image]]


@pytest.fixture(scope="session")
def release(make_concept: MakeConcept, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two concepts of noise, averaged: every layer-wise row and every adapter shows in pictures."""
    folder = tmp_path_factory.mktemp("made")
    for seed, name in enumerate(("potter", "mimi"), start=1):
        make_concept(name, seed, size=0.15).save(folder / f"{name}.safetensors")
    files = sorted(folder.glob("*.safetensors"))
    fuse_to_folder(BASE, files, folder / "release", method="average")
    return folder / "release"


def needed(name: str, found: dict[str, Distribution]) -> dict[str, Distribution]:
    """`found`, and this distribution with all that it requires as far as it is installed here."""
    if name not in found:
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            return found
        for requirement in map(Requirement, found[name].requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                needed(requirement.name.lower(), found)
    return found


def parts(name: str) -> Iterator[Path]:
    """The modules and folders of these distributions, where they are installed."""
    for one in needed(name, {}).values():
        for part in {file.parts[0] for file in one.files or ()} - {"..", "__pycache__"}:
            if not part.endswith(".pth"):
                yield Path(str(one.locate_file(part)))


@pytest.fixture(scope="session")
def diffusers_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import from: torch, transformers, diffusers and what they require, as links."""
    folder = tmp_path_factory.mktemp("packages")
    for name in ("diffusers", "torch", "transformers"):
        for part in parts(name):
            if not (folder / part.name).exists():
                (folder / part.name).symlink_to(part)
    return folder


@pytest.fixture(scope="session")
def draw_alone(diffusers_alone: Path, tmp_path_factory: pytest.TempPathFactory) -> DrawAlone:
    """Draws recipes from a release by a program that cannot import fedshow."""

    def draw(release: Path, recipes: Recipes) -> dict[str, Image.Image]:
        out = tmp_path_factory.mktemp("drawn")
        orders = [{**one, "num_inference_steps": 4} for one in recipes.values()]
        (out / "orders.json").write_text(json.dumps(orders))
        subprocess.run(
            [
                sys.executable,
                "-I",
                "-S",
                PROGRAM,
                diffusers_alone,
                release,
                out / "orders.json",
                out,
            ],
            check=True,
            env={**os.environ, "HF_HOME": str(out / "cache"), "HF_HUB_OFFLINE": "1"},
        )
        pictures = [
            Image.open(out / f"{number}.png").convert("RGB") for number in range(len(orders))
        ]
        return dict(zip(recipes, pictures, strict=True))

    return draw
