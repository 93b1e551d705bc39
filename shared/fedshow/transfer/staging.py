"""Where the files of a folder arrive before they appear in it, all at once."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedshow.errors import InvalidInput
from fedshow.locks import locked
from fedshow.releases.file_names import MANIFEST

TREE = "tree"
INSIDE = ".fedshow.part"
"""The staging folder's name in a folder that must stay itself."""


def staging_of(out: Path) -> Path:
    """The folder beside `out` where files arrive, and stay when a pull is interrupted."""
    return out.with_name(f".{out.name}.part")


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """The staging folder; one pull at a time, gone after success.

    It is in `out` when that is empty, a mount point, somebody's working folder, or in a folder that
    cannot be written; else as `staging_of` says.
    """
    staging = out / INSIDE if _stays(out) else staging_of(out)
    staging.mkdir(parents=True, exist_ok=True)
    with (staging / "lock").open("w") as lock:
        if not locked(lock):
            raise InvalidInput(f"another pull into {out} is at work")
        _mend(out, staging)
        try:
            yield staging
        except BaseException:
            if any(file.name != "lock" for file in staging.iterdir()):
                raise  # what has arrived serves the next try
            shutil.rmtree(staging, ignore_errors=True)
            raise
        shutil.rmtree(staging, ignore_errors=True)


def new_tree(staging: Path) -> Path:
    """An empty folder for what `put` swaps in."""
    tree = staging / TREE
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    return tree


def put(tree: Path, out: Path, staging: Path) -> None:
    """Swaps the new folder in; a crash between the moves is mended by the next pull."""
    if staging.parent != out:
        if out.exists():
            out.replace(staging / "old")
        tree.replace(out)
        return
    leaving = staging / "leaving"
    leaving.mkdir()
    for child in sorted(out.iterdir(), key=_is_manifest, reverse=True):
        if child != staging:
            child.replace(leaving / child.name)
    leaving.replace(staging / "old")
    _fill(out, tree)


def _stays(out: Path) -> bool:
    if not out.is_dir():
        return False
    empty = (out / INSIDE).exists() or not any(out.iterdir())
    needed = out.is_mount() or out == Path.cwd().resolve()
    return empty or needed or not os.access(out.parent, os.W_OK | os.X_OK)


def _mend(out: Path, staging: Path) -> None:
    """Undoes what a crash left half done, or ends it where all that was before has left."""
    old, leaving, tree = (staging / name for name in ("old", "leaving", TREE))
    if staging.parent == out:
        if leaving.exists():
            _fill(out, leaving)
        elif old.exists() and tree.exists():
            _fill(out, tree)
    elif old.exists() and not out.exists():
        old.replace(out)
    shutil.rmtree(old, ignore_errors=True)


def _fill(out: Path, source: Path) -> None:
    for child in sorted(source.iterdir(), key=_is_manifest):
        child.replace(out / child.name)
    source.rmdir()


def _is_manifest(child: Path) -> bool:
    """It leaves first and comes last: without it a folder is no release."""
    return child.name == MANIFEST
