"""What the tests of stores keep in them."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from fedshow.releases import FileEntry, Manifest, Member, release_id
from fedshow_server.store import Offer

DAY = timedelta(days=1)


def offer(name, file):
    return Offer(name, "man", sha256(file.encode()).hexdigest(), 10)


def manifest(card, *concepts):
    members = tuple(Member(name=c, sha256=sha256(c.encode()).hexdigest()) for c in concepts)
    return Manifest(
        release=release_id(card.ref, members, {}),
        created=datetime.now(UTC),
        base=card.ref,
        family="sd1",
        concepts=members,
        fusion={},
        files={"a/b": FileEntry(sha256=sha256(b"b").hexdigest(), size_bytes=1)},
    )


LISTING = FileEntry(sha256="0" * 64, size_bytes=5)


def admitted(store, node, name, file):
    """The digest of a concept that went into the store."""
    store.concepts.submit(node.id, offer(name, file), 100)
    store.concepts.admit(offer(name, file).sha256)
    return offer(name, file).sha256
