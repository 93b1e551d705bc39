"""What the server remembers: members, sessions, concepts, samples, releases, drawings, content by digest."""

from dataclasses import dataclass
from pathlib import Path

from fedshow_server.store.audit import Audit, Entry, Head
from fedshow_server.store.blobs import Blobs, FolderBlobs
from fedshow_server.store.concept_rows import Concept, Removal, State
from fedshow_server.store.concepts import Concepts, Offer
from fedshow_server.store.database import Database, open_database
from fedshow_server.store.drawings import Drawing, Drawings, DrawingState
from fedshow_server.store.history import History
from fedshow_server.store.members import Members, Node
from fedshow_server.store.pruning import Pruning
from fedshow_server.store.releases import Release, Releases
from fedshow_server.store.runs import Runs
from fedshow_server.store.s3 import SCHEME, S3Blobs
from fedshow_server.store.samples import Samples
from fedshow_server.store.sessions import Sessions
from fedshow_server.store.showcase import Showcase

__all__ = [
    "Audit",
    "Blobs",
    "Concept",
    "Concepts",
    "Drawing",
    "DrawingState",
    "Drawings",
    "Entry",
    "FolderBlobs",
    "Head",
    "History",
    "Members",
    "Node",
    "Offer",
    "Pruning",
    "Release",
    "Releases",
    "Removal",
    "Runs",
    "Samples",
    "Sessions",
    "Showcase",
    "State",
    "Store",
    "open_store",
]


@dataclass(frozen=True)
class Store:
    """All of the server's memory; every process of the server opens its own."""

    database: Database
    blobs: Blobs
    members: Members
    concepts: Concepts
    releases: Releases
    runs: Runs
    drawings: Drawings
    sessions: Sessions
    samples: Samples
    showcase: Showcase
    audit: Audit
    history: History
    pruning: Pruning

    def close(self) -> None:
        """Gives the database's connections back."""
        self.database.close()


def open_store(url: str, blobs: Path | str) -> Store:
    """The store with its database at `url` and content in `blobs`, a folder or `s3://…`.

    Raises InvalidInput.
    """
    content = S3Blobs(str(blobs)) if str(blobs).startswith(SCHEME) else FolderBlobs(Path(blobs))
    database = open_database(url)
    return Store(
        database=database,
        blobs=content,
        members=Members(database),
        concepts=Concepts(database),
        releases=Releases(database),
        runs=Runs(database),
        drawings=Drawings(database),
        sessions=Sessions(database),
        samples=Samples(database),
        showcase=Showcase(database),
        audit=Audit(database),
        history=History(database),
        pruning=Pruning(database, content),
    )
