"""Where a base model is: embedded, in a local folder or file, or on the hub. Costs nothing to import."""

import os
import re
from importlib.resources import files
from pathlib import Path

from fedshow.errors import Absent, InvalidInput

TOYWORLD = "toyworld"
INDEX = "model_index.json"
"""What makes a folder a diffusers pipeline."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def locate(base: str) -> str:
    """Folder, single file or hub id that `base` is loaded from; raises InvalidInput, Absent for nothing."""
    if base == TOYWORLD:
        return str(files("fedshow.toyworld") / "weights")
    if (Path(base) / INDEX).is_file():
        return str(Path(base))
    if Path(base).is_file():
        return _single_file(base)
    if not HUB_ID.fullmatch(base) or Path(base).exists():
        kind = InvalidInput if Path(base).exists() else Absent
        raise kind(
            f"base {base!r}: use 'toyworld', a diffusers folder (with {INDEX}), a checkpoint as "
            "one .safetensors file, or a hub id"
        )
    return base


def _single_file(base: str) -> str:
    """Whatever is in a pickle, it is not opened."""
    if not base.endswith(".safetensors"):
        raise InvalidInput(
            f"base {base!r}: of single files only .safetensors are opened; others, such as .ckpt, are "
            "pickles, which can run code when they are opened"
        )
    return str(Path(base))


def public_name(base: str) -> str:
    """The base's name as it may appear in files: never a local path."""
    return "local" if _is_here(base) else base


def anywhere(base: str) -> str:
    """The same base for a process that runs in another folder; raises InvalidInput for no base."""
    located = locate(base)
    return str(Path(located).absolute()) if _is_here(base) else base


def is_public(name: str) -> bool:
    """Whether everybody can get the base of this public name by themselves."""
    return name == TOYWORLD or HUB_ID.fullmatch(name) is not None


def origin(base: str) -> str:
    """In words, where a located base comes from."""
    if base == TOYWORLD:
        return "part of fedshow"
    if _is_here(base):
        return f"the {'folder' if Path(base).is_dir() else 'file'} {base}"
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    return f"{hub}/{base}, downloaded when it is first used"


def _is_here(base: str) -> bool:
    return base != TOYWORLD and Path(base).exists()
