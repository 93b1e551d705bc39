"""From a fused folder to a release that everybody sees: whole, or not at all."""

from pathlib import Path

from fedshow.files import digest
from fedshow.releases import FileEntry, Manifest, verify_release
from fedshow.releases.manifest import FILE_NAME
from fedshow_server.store import Store


def publish(store: Store, folder: Path) -> tuple[Manifest, bool]:
    """Makes the release in `folder` the latest; False when it was already. Raises Damaged."""
    manifest = verify_release(folder)
    for path, entry in manifest.files.items():
        store.blobs.put_file(folder / path, entry.sha256)
    listing_path = folder / FILE_NAME
    listing = FileEntry(sha256=digest(listing_path), size_bytes=listing_path.stat().st_size)
    store.blobs.put_file(listing_path, listing.sha256)
    return manifest, store.releases.publish(manifest, listing)
