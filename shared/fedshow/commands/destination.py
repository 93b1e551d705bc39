"""Where commands write: checked before the work, so that nothing is computed that cannot be kept."""

import os
from pathlib import Path

from fedshow.errors import InvalidInput


def output_file(path: Path, suffix: str = "") -> Path:
    """`path`, when a file can be written there: its folder is there from now on.

    Raises InvalidInput, also when the name does not end with `suffix`.
    """
    if path.is_dir():
        raise InvalidInput(f"{path} is a folder; name a file in it")
    if suffix and path.suffix.lower() != suffix:
        raise InvalidInput(f"{path}: what is written is {suffix}; name it {path.stem}{suffix}")
    _make_writable(path.parent)
    return path


def output_folder(path: Path) -> Path:
    """`path`, when a folder can be put there: the one above is there from now on.

    Raises InvalidInput.
    """
    if path.exists() and not path.is_dir():
        raise InvalidInput(f"{path} is a file; name a folder")
    _make_writable(path.parent)
    return path


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"folder {folder} cannot be made: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidInput(f"folder {folder} is not writable")
