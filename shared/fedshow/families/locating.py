"""Where a base model is: embedded, in a local folder, or on the hub. Costs nothing to import."""

import os
import re
from importlib.resources import files
from pathlib import Path

from fedshow.errors import InvalidInput

TOYWORLD = "toyworld"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def locate(base: str) -> str:
    """Folder or hub id that diffusers loads `base` from; raises InvalidInput."""
    if base == TOYWORLD:
        return str(files("fedshow.toyworld") / "weights")
    if (Path(base) / "model_index.json").is_file():
        return str(Path(base))
    if not HUB_ID.fullmatch(base) or Path(base).exists():
        raise InvalidInput(
            f"base {base!r}: use 'toyworld', a diffusers folder (with model_index.json) or a hub id"
        )
    return base


def public_name(base: str) -> str:
    """The base's name as it may appear in files: never a local path."""
    return "local" if _is_folder(base) else base


def anywhere(base: str) -> str:
    """The same base for a process that runs in another folder; raises InvalidInput for no base."""
    located = locate(base)
    return str(Path(located).absolute()) if _is_folder(base) else base


def is_public(name: str) -> bool:
    """Whether everybody can get the base of this public name by themselves."""
    return name == TOYWORLD or HUB_ID.fullmatch(name) is not None


def origin(base: str) -> str:
    """In words, where a located base comes from."""
    if base == TOYWORLD:
        return "part of fedshow"
    if _is_folder(base):
        return f"the folder {base}"
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    return f"{hub}/{base}, downloaded when it is first used"


def _is_folder(base: str) -> bool:
    return base != TOYWORLD and Path(base).is_dir()
