"""Releases with content of a test's own, put straight into a server's store."""

from hashlib import sha256

from fedshow.releases import FileEntry
from tests.releases import standin_manifest


def put_release(server, tools, concept, files):
    """A release with these very bytes, the latest of the server; gives its manifest."""
    concepts = {concept: sha256(concept.encode()).hexdigest()}
    manifest = standin_manifest(files, concepts, tools.card.ref)
    store = server.store()
    for content in (*files.values(), manifest.dump()):
        store.blobs.put(content)
    listing = manifest.dump()
    entry = FileEntry(sha256=sha256(listing).hexdigest(), size_bytes=len(listing))
    store.releases.publish(manifest, entry)
    store.close()
    return manifest
