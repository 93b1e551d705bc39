"""Private pictures to compare with: read from a local folder, and never written anywhere."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from fedshow.errors import InvalidInput
from fedshow.sampling.pictures import read_picture
from fedshow.scoring.scorers import Scorer

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MASK = ".mask"


def reference_files(folder: Path) -> list[Path]:
    """The pictures in a folder, without masks; raises InvalidInput when there are none."""
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: not a folder of reference pictures")
    found = sorted(path for path in folder.iterdir() if _is_picture(path))
    if not found:
        raise InvalidInput(f"{folder}: no pictures (looked for {', '.join(SUFFIXES)})")
    return found


def parse_references(given: Iterable[str]) -> dict[str, Path]:
    """Concept to folder, each written as `NAME=FOLDER`; raises InvalidInput."""
    found: dict[str, Path] = {}
    for said in given:
        name, sign, folder = said.partition("=")
        if not (name and sign and folder):
            raise InvalidInput(f"reference {said!r}: write NAME=FOLDER, such as mimi=cat-pictures")
        if name in found:
            raise InvalidInput(f"reference {said!r}: {name} has a folder already, {found[name]}")
        found[name] = Path(folder).expanduser()
        reference_files(found[name])
    return found


def reference_features(scorer: Scorer, folder: Path) -> Tensor:
    """`[M, D]` of the folder's pictures, one in memory at a time: they may be large."""
    return torch.cat([scorer.features([image]) for image in _upright(folder)])


def _upright(folder: Path) -> Iterator[Image.Image]:
    for file in reference_files(folder):
        yield read_picture(file).convert("RGB")


def _is_picture(path: Path) -> bool:
    hidden, mask = path.name.startswith("."), path.stem.lower().endswith(MASK)
    return path.suffix.lower() in SUFFIXES and not hidden and not mask and path.is_file()
