"""What somebody named: a concept file, a release or a base. Loads no weights."""

from pathlib import Path
from typing import Literal

from fedshow.families.checkpoint_kinds import is_checkpoint
from fedshow.releases.file_names import FUSED, MANIFEST

Kind = Literal["concept", "release", "base"]


def kind_of(given: str | Path) -> Kind:
    """What it would be: a release also as its LoRA alone, a base when nothing speaks for the others."""
    path = Path(given)
    if path.is_file():
        return "base" if is_checkpoint(path) else "concept"
    if any((path / name).is_file() for name in (MANIFEST, FUSED)):
        return "release"
    return "base"
