"""Deleting for good: rows and content together, under the lock that all writers take.

Content is stored before the row that names it, and that row is only kept when the content is still there, so
that nothing that somebody counts on is deleted. A crash in between leaves a release that cannot be had any
more; pruning again deletes the rest of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection, delete, select, union

from fedshow_server.store.audit import note
from fedshow_server.store.blobs import Blobs
from fedshow_server.store.concept_rows import LIVE, Concept
from fedshow_server.store.database import Database
from fedshow_server.store.releases import Release
from fedshow_server.store.tables import (
    concepts,
    drawings,
    fused_identities,
    release_concepts,
    release_files,
    releases,
)


@dataclass(frozen=True)
class Freed:
    """What was deleted."""

    files: int
    bytes: int
    drawings: tuple[str, ...] = ()
    """Ids of drawings that went with a release; their pictures are still on the disk."""


class Pruning:
    """Takes releases and files of concepts out of database and content."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database, self._blobs = database, blobs

    def release(self, release: Release) -> Freed | None:
        """Deletes a release, what was drawn with it, and the files that only it needed.

        None: it is gone already, or was made the latest since it was looked up.
        """
        same = (releases.c.id == release.id) & (releases.c.sequence == release.sequence)
        with self._database.writing() as connection:
            if connection.execute(select(releases.c.id).where(same)).first() is None:
                return None
            mine = release_files.c.release_id == release.id
            rows = connection.execute(select(release_files).where(mine)).all()
            drawn = select(drawings.c.id).where(drawings.c.release_id == release.id)
            ids = tuple(connection.scalars(drawn))
            for table in (drawings, fused_identities, release_files, release_concepts):
                connection.execute(delete(table).where(table.c.release_id == release.id))
            connection.execute(delete(releases).where(same))
            note(connection, "release.deleted", release.id, concepts=" ".join(release.concepts))
            freed = self._free(connection, {row.sha256: row.size_bytes for row in rows})
            return replace(freed, drawings=ids)

    def concept(self, concept: Concept) -> Freed:
        """Deletes the file of a concept, unless it is one that the server counts on."""
        with self._database.writing() as connection:
            freed = self._free(connection, {concept.sha256: concept.size_bytes})
            if freed.files:
                note(connection, "concept.deleted", concept.name, sha256=concept.sha256)
            return freed

    def _free(self, connection: Connection, sizes: Mapping[str, int]) -> Freed:
        """Deletes content, by digest, that no release and no concept in use needs any more."""
        of_releases = select(release_files.c.sha256).where(release_files.c.sha256.in_(sizes))
        of_concepts = select(concepts.c.sha256).where(
            concepts.c.sha256.in_(sizes), concepts.c.state.in_(LIVE)
        )
        needed = set(connection.scalars(union(of_releases, of_concepts)))
        spent = [digest for digest in sizes if digest not in needed and self._blobs.has(digest)]
        for digest in spent:
            self._blobs.delete(digest)
        return Freed(len(spent), sum(sizes[digest] for digest in spent))
