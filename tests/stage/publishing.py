"""Releases with content of one's own, put straight into a server's store."""

from collections.abc import Mapping
from hashlib import sha256

from fedshow.releases import FileEntry, Manifest
from fedshow_server.releasing.signing import open_signer
from tests.releases import standin_manifest
from tests.stage.concepts import CARD
from tests.stage.server import Server


def put_release(server: Server, concept: str, files: Mapping[str, bytes]) -> Manifest:
    """A release with these very bytes, the latest of the server; gives its manifest."""
    return put_release_of(server, {concept: sha256(concept.encode()).hexdigest()}, files)


def put_release_of(
    server: Server, concepts: Mapping[str, str], files: Mapping[str, bytes], signed: bool = False
) -> Manifest:
    """The same of these concepts (name to digest), if asked for with the server's signature."""
    manifest = standin_manifest(files, concepts, CARD.ref)
    listing = manifest.dump()
    signature = open_signer(server.data / "ca").sign_manifest(listing) if signed else b""
    store = server.store()
    for content in (*files.values(), listing, signature):
        store.blobs.put(content)
    store.releases.publish(manifest, _entry(listing), _entry(signature) if signed else None)
    store.close()
    return manifest


def _entry(content: bytes) -> FileEntry:
    return FileEntry(sha256=sha256(content).hexdigest(), size_bytes=len(content))
