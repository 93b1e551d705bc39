"""A release out of the store, opened by a worker."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from fedshow.errors import InvalidInput
from fedshow_server.store import Store

if TYPE_CHECKING:
    from fedshow.sampling.model import Model


def open_release(store: Store, release: str, work: Path, device: str) -> "Model":
    """The release's model; its files are in `work` meanwhile. Raises NotFound, InvalidInput, Damaged."""
    from fedshow.releases.loading import load_release  # torch: takes seconds

    folder = work / release
    _fetch(store, release, folder)
    model = load_release(folder, device)
    shutil.rmtree(folder)
    return model


def _fetch(store: Store, release: str, folder: Path) -> None:
    files = store.releases.files(release)
    if not files:
        raise InvalidInput(f"release {release} is gone")
    for path, entry in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with store.blobs.open(entry.sha256) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
