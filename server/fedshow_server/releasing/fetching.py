"""A release's files out of the store, for a worker that opens it."""

import shutil
from pathlib import Path

from fedshow.errors import InvalidInput
from fedshow_server.store import Store


def fetch_release(store: Store, release: str, folder: Path) -> None:
    """Puts the release's files into `folder`. Raises NotFound, InvalidInput."""
    files = store.releases.files(release)
    if not files:
        raise InvalidInput(f"release {release} is gone")
    for path, entry in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with store.blobs.open(entry.sha256) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
