"""From a fused folder to a release that everybody sees: whole, or not at all."""

import logging
from itertools import takewhile
from pathlib import Path

from fedshow.errors import NotFound, RefusedRelease
from fedshow.files import digest
from fedshow.releases import FileEntry, Manifest, verify_release
from fedshow.releases.file_names import MANIFEST, SIGNATURE
from fedshow.releases.signing import Signature
from fedshow_server.releasing.signing import Signer
from fedshow_server.store import Release, Store

log = logging.getLogger(__name__)


def publish(store: Store, folder: Path, signer: Signer) -> tuple[Manifest, bool]:
    """Makes the release in `folder` the latest, signed; False when it was already.

    Raises Damaged, and Unreachable when somebody prunes the store just now.
    """
    manifest = verify_release(folder)
    for path, entry in manifest.files.items():
        store.blobs.put_file(folder / path, entry.sha256)
    listing_path = folder / MANIFEST
    listing = FileEntry(sha256=digest(listing_path), size_bytes=listing_path.stat().st_size)
    store.blobs.put_file(listing_path, listing.sha256)
    signature = _sign(store, listing, signer)
    return manifest, store.releases.publish(manifest, listing, signature, store.blobs.has)


def sign_earlier(store: Store, signer: Signer) -> None:
    """Signs releases that nobody signed, or another key: the server's was lost, stolen or not there yet.

    The oldest comes first, so that behind one that our key signed, all are. One whose manifest is lost
    stays as it is.
    """
    newest_first = store.releases.all()
    stale = list(takewhile(lambda one: _key_of(store, one) != signer.public_key, newest_first))
    for release in reversed(stale):
        listing = store.releases.file(release.id, MANIFEST)
        try:
            store.releases.sign(release.id, _sign(store, listing, signer))
        except NotFound as error:
            log.error("release %s cannot be signed: %s", release.id, error)


def _key_of(store: Store, release: Release) -> str | None:
    """Whose signature a release has; None when it has none that can be read."""
    try:
        with store.blobs.open(store.releases.file(release.id, SIGNATURE).sha256) as file:
            return Signature.parse(file.read()).key
    except (NotFound, RefusedRelease):
        return None


def _sign(store: Store, listing: FileEntry, signer: Signer) -> FileEntry:
    with store.blobs.open(listing.sha256) as file:
        content = signer.sign_manifest(file.read())
    return FileEntry(sha256=store.blobs.put(content), size_bytes=len(content))
