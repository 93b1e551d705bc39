"""Published releases: whole or not there; with a withdrawn concept none is the latest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, exists, func, insert, select, true, update

from fedshow.errors import InvalidInput, NotFound, Unreachable
from fedshow.releases.file_names import MANIFEST, SIGNATURE
from fedshow.releases.manifest import FileEntry, Manifest
from fedshow_server.store.audit import note
from fedshow_server.store.concept_rows import State
from fedshow_server.store.database import Database
from fedshow_server.store.tables import concepts, release_concepts, release_files, releases
from fedshow_server.store.visibility import Viewer, shows_release

LATEST = "latest"
SHORTEST_PREFIX = 8


@dataclass(frozen=True)
class Release:
    """One release; `Releases.files` tells what it consists of."""

    id: str
    sequence: int
    created: datetime
    base_sha256: str
    manifest_sha256: str
    concepts: dict[str, str]
    """Name to digest of the concept file."""
    withdrawn: list[str]
    """Names of those that were withdrawn since."""


class Shelf:
    """Releases as somebody may see them: others are not there."""

    def __init__(self, database: Database, shown: Any) -> None:
        self._database = database
        self._shown = shown
        """Which rows of releases."""

    def get(self, reference: str) -> Release:
        """The release of an id, a prefix of one or `latest`. Raises NotFound, InvalidInput."""
        with self._database.reading() as connection:
            if reference == LATEST:
                return _latest(connection, self._shown)
            return _one(connection, _by_prefix(connection, reference, self._shown))

    def by_manifest(self, prefix: str) -> Release:
        """The release whose manifest.json has a digest that starts like this. Raises NotFound."""
        query = select(releases).where(releases.c.manifest_sha256.startswith(prefix), self._shown)
        with self._database.reading() as connection:
            row = connection.execute(query.limit(1)).first()
            if row is None:
                raise NotFound(f"no release has the manifest {prefix[:64]!r}")
            return _one(connection, row)

    def latest(self) -> Release | None:
        """The newest release without a withdrawn concept, when there is one."""
        with self._database.reading() as connection:
            return _last(connection, self._shown & CLEAN)

    def latest_id(self) -> str | None:
        """The same release's id alone, which costs far less where there are many concepts."""
        query = select(releases.c.id).where(self._shown, CLEAN).order_by(releases.c.sequence.desc())
        with self._database.reading() as connection:
            return connection.scalar(query.limit(1))

    def last(self) -> Release | None:
        """The release published last, whatever became of its concepts since."""
        with self._database.reading() as connection:
            return _last(connection, self._shown)

    def all(self) -> list[Release]:
        """Every release, newest first."""
        query = select(releases).where(self._shown).order_by(releases.c.sequence.desc())
        with self._database.reading() as connection:
            return _many(connection, connection.execute(query).all())

    def files(self, release: str) -> dict[str, FileEntry]:
        """Every file of the release with this id by path, manifest.json among them."""
        query = select(release_files).where(release_files.c.release_id == release)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(release_files.c.path)).all()
        return {row.path: _entry(row) for row in rows}

    def file(self, release: str, path: str) -> FileEntry:
        """One file of the release with this id; raises NotFound."""
        one = (release_files.c.release_id == release) & (release_files.c.path == path)
        with self._database.reading() as connection:
            row = connection.execute(select(release_files).where(one)).first()
        if row is None:
            raise NotFound(f"release {release} has no file {path[:200]!r}")
        return _entry(row)

    def file_size(self, sha256: str) -> int:
        """Size of a file that some release lists; raises NotFound for anything else."""
        with self._database.reading() as connection:
            query = (
                select(release_files.c.size_bytes)
                .join(releases, releases.c.id == release_files.c.release_id)
                .where(release_files.c.sha256 == sha256, self._shown)
            )
            size = connection.scalar(query.limit(1))
        if size is None:
            raise NotFound(f"no release has a file {sha256[:64]!r}")
        return int(size)


class Releases(Shelf):
    """All releases in the database; their bytes lie in the blob store."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, true())

    def seen_by(self, viewer: Viewer) -> Shelf:
        """Those of which the viewer may have every concept."""
        return Shelf(self._database, shows_release(viewer))

    def publish(
        self,
        manifest: Manifest,
        listing: FileEntry,
        signature: FileEntry | None = None,
        has: Callable[[str], bool] = lambda _digest: True,
    ) -> bool:
        """Makes the release the latest; `listing` is manifest.json itself. False: it was already.

        Its blobs must be in the store before; raises Unreachable when `has` misses one, which was deleted
        between. A known release keeps what it is.
        """
        with self._database.writing() as connection:
            last = _last(connection, true())
            if last is not None and last.id == manifest.release:
                return False
            sequence = last.sequence + 1 if last else 1
            if not _renumber(connection, manifest.release, sequence):
                beside = {MANIFEST: listing} | ({SIGNATURE: signature} if signature else {})
                for path, entry in {**manifest.files, **beside}.items():
                    if not has(entry.sha256):
                        raise Unreachable(f"{path} was deleted from the store just now: try again")
                _insert(connection, manifest, beside, sequence)
            note(connection, "release.published", manifest.release, manifest=listing.sha256)
        return True

    def again(self, members: Mapping[str, str]) -> Release | None:
        """Makes the newest release of exactly these concepts (name to digest) the latest, if there is one."""
        with self._database.writing() as connection:
            found = _made_of(connection, members)
            if found is not None:
                last = _last(connection, true())
                assert last is not None
                _renumber(connection, found, last.sequence + 1)
                note(connection, "release.published", found)
        return None if found is None else self.get(found)

    def sign(self, release: str, signature: FileEntry) -> None:
        """Puts the signature beside the manifest of a release, in the place of an earlier one."""
        of_release = release_files.c.release_id == release
        with self._database.writing() as connection:
            connection.execute(
                delete(release_files).where(of_release, release_files.c.path == SIGNATURE)
            )
            connection.execute(insert(release_files), _file_row(release, SIGNATURE, signature))


CLEAN = ~exists().where(
    release_concepts.c.release_id == releases.c.id,
    concepts.c.sha256 == release_concepts.c.sha256,
    concepts.c.state == State.WITHDRAWN,
)
"""None of the release's concepts was withdrawn."""


def _last(connection: Connection, where: Any) -> Release | None:
    query = select(releases).where(where).order_by(releases.c.sequence.desc()).limit(1)
    row = connection.execute(query).first()
    return _one(connection, row) if row else None


def _latest(connection: Connection, shown: Any) -> Release:
    if found := _last(connection, shown & CLEAN):
        return found
    if last := _last(connection, shown):
        names = ", ".join(last.withdrawn)
        raise NotFound(f"no release is the latest now: {last.id} has {names}, withdrawn since")
    raise NotFound("there is no release yet")


def _by_prefix(connection: Connection, prefix: str, shown: Any) -> Any:
    if not SHORTEST_PREFIX <= len(prefix) <= 16 or set(prefix) - set("0123456789abcdef"):
        raise InvalidInput(
            f"release {prefix[:80]!r}: give {LATEST!r}, an id or at least its first "
            f"{SHORTEST_PREFIX} digits"
        )
    query = select(releases).where(releases.c.id.startswith(prefix), shown)
    rows = connection.execute(query).all()
    if not rows:
        raise NotFound(f"no release {prefix}")
    if len(rows) > 1:
        raise InvalidInput(f"{len(rows)} releases start with {prefix}: give more digits")
    return rows[0]


def _made_of(connection: Connection, members: Mapping[str, str]) -> str | None:
    """The newest release of exactly these concepts."""
    digests = set(members.values())
    digest = release_concepts.c.sha256
    holding = (
        select(release_concepts.c.release_id)
        .where(digest.in_(digests))
        .group_by(release_concepts.c.release_id)
        .having(func.count(digest.distinct()) == len(digests))
    )
    query = select(releases).where(releases.c.id.in_(holding))
    rows = connection.execute(query.order_by(releases.c.sequence.desc())).all()
    found = _many(connection, rows)
    return next((release.id for release in found if release.concepts == members), None)


def _renumber(connection: Connection, release: str, sequence: int) -> bool:
    query = update(releases).where(releases.c.id == release).values(sequence=sequence)
    return connection.execute(query).rowcount > 0


def _insert(
    connection: Connection, manifest: Manifest, beside: dict[str, FileEntry], sequence: int
) -> None:
    connection.execute(
        insert(releases).values(
            id=manifest.release,
            sequence=sequence,
            created=manifest.created,
            base_sha256=manifest.base.sha256,
            manifest_sha256=beside[MANIFEST].sha256,
        )
    )
    members = [
        {"release_id": manifest.release, "name": member.name, "sha256": member.sha256}
        for member in manifest.concepts
    ]
    files = [
        _file_row(manifest.release, path, entry)
        for path, entry in {**manifest.files, **beside}.items()
    ]
    connection.execute(insert(release_concepts), members)
    connection.execute(insert(release_files), files)


def _file_row(release: str, path: str, entry: FileEntry) -> dict[str, Any]:
    sha256, size_bytes = entry.sha256, entry.size_bytes
    return {"release_id": release, "path": path, "sha256": sha256, "size_bytes": size_bytes}


def _one(connection: Connection, row: Any) -> Release:
    (found,) = _many(connection, [row])
    return found


def _many(connection: Connection, rows: Sequence[Any]) -> list[Release]:
    """The releases in these rows, with what became of their concepts."""
    members: dict[str, list[Any]] = {row.id: [] for row in rows}
    query = (
        select(release_concepts, concepts.c.state)
        .outerjoin(concepts, concepts.c.sha256 == release_concepts.c.sha256)
        .where(release_concepts.c.release_id.in_(members))
        .order_by(release_concepts.c.name)
    )
    for member in connection.execute(query):
        members[member.release_id].append(member)
    return [_release(row, members[row.id]) for row in rows]


def _release(row: Any, members: Sequence[Any]) -> Release:
    return Release(
        id=row.id,
        sequence=row.sequence,
        created=row.created,
        base_sha256=row.base_sha256,
        manifest_sha256=row.manifest_sha256,
        concepts={member.name: member.sha256 for member in members},
        withdrawn=[member.name for member in members if member.state == State.WITHDRAWN],
    )


def _entry(row: Any) -> FileEntry:
    return FileEntry(sha256=row.sha256, size_bytes=row.size_bytes)
