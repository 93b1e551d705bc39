"""Releases with content of one's own, put straight into a server's store."""

from collections.abc import Mapping
from hashlib import sha256

from fedshow.releases import FileEntry, Manifest
from tests.releases import standin_manifest
from tests.stage.concepts import CARD
from tests.stage.server import Server


def put_release(server: Server, concept: str, files: Mapping[str, bytes]) -> Manifest:
    """A release with these very bytes, the latest of the server; gives its manifest."""
    concepts = {concept: sha256(concept.encode()).hexdigest()}
    manifest = standin_manifest(files, concepts, CARD.ref)
    store = server.store()
    for content in (*files.values(), manifest.dump()):
        store.blobs.put(content)
    listing = manifest.dump()
    entry = FileEntry(sha256=sha256(listing).hexdigest(), size_bytes=len(listing))
    store.releases.publish(manifest, entry)
    store.close()
    return manifest
