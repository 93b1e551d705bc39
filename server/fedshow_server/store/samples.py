"""Pictures that this server draws with each concept, how far it is, and what they measure.

They lie in the database, small as they are: what deletes a concept's samples is the transaction that
withdraws or refuses it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, exists, func, insert, or_, select, update

from fedshow_server.store.cards import Picture
from fedshow_server.store.concept_rows import State
from fedshow_server.store.database import Database
from fedshow_server.store.tables import (
    concepts,
    fused_identities,
    release_concepts,
    releases,
    sampled,
    samples,
)

MOST_ATTEMPTS = 3
"""A concept that ended its worker so often is left alone until the server starts again."""

SHOWN = (State.ADMITTED, State.PENDING)
"""Concepts in these states are drawn; others have no samples."""


@dataclass(frozen=True)
class Sample(Picture):
    """One picture of a concept with its content, and all that decides it."""

    content: bytes
    """A WebP file."""


@dataclass(frozen=True)
class Measure:
    """What a concept's own pictures measure."""

    scorer: str
    identity: float
    likeness: bytes
    """What other pictures of the concept look like to the scorer: float32."""


@dataclass(frozen=True)
class Subject:
    """A concept to draw or to measure."""

    id: int
    name: str
    sha256: str
    measure: Measure | None


class Samples:
    """Samples in the database, as those who draw them see them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next(self, scorer: str) -> Subject | None:
        """The concept to draw next: without all pictures, or not measured by this scorer ('': by none)."""
        with self._database.reading() as connection:
            row = connection.execute(_unfinished(scorer).limit(1)).first()
        return None if row is None else _subject(row)

    def missing(self) -> int:
        """How many concepts lack pictures that may still come."""
        query = select(func.count()).select_from(_unfinished("").subquery())
        with self._database.reading() as connection:
            return connection.scalar(query) or 0

    def begin(self, subject: Subject, rank: int) -> None:
        """Somebody draws it now; `rank` is what its file says."""
        mine = concepts.c.id == subject.id
        with self._database.writing() as connection:
            connection.execute(
                update(concepts).where(mine, concepts.c.rank.is_(None)).values(rank=rank)
            )
            _set(connection, subject.id, attempts=sampled.c.attempts + 1)

    def rest(self, subject: Subject) -> None:
        """Whoever drew it was told to stop: that is no failure of the concept's."""
        with self._database.writing() as connection:
            _set(connection, subject.id, attempts=0)

    def give_up(self, subject: Subject) -> None:
        """It cannot be drawn."""
        with self._database.writing() as connection:
            _set(connection, subject.id, attempts=MOST_ATTEMPTS)

    def try_again(self) -> None:
        """Those that were left alone may be tried again."""
        with self._database.writing() as connection:
            connection.execute(update(sampled).values(attempts=0))

    def add(self, subject: Subject, pictures: Sequence[Sample]) -> bool:
        """Keeps pictures of a concept; False when it is none any more that has pictures."""
        with self._database.writing() as connection:
            shown = _set(connection, subject.id, attempts=0)
            rows = [{"concept_id": subject.id, **vars(picture)} for picture in pictures]
            if shown:
                connection.execute(insert(samples), rows)
        return shown

    def finish(self, subject: Subject, measure: Measure | None) -> None:
        """All its pictures are there, and measured when anything here can."""
        values = vars(measure) if measure else {}
        with self._database.writing() as connection:
            _set(connection, subject.id, attempts=0, done=True, **values)

    def of(self, subject: Subject) -> list[Sample]:
        """The pictures of a concept that there are."""
        query = select(samples).where(samples.c.concept_id == subject.id).order_by(samples.c.number)
        with self._database.reading() as connection:
            return [_sample(row) for row in connection.execute(query)]

    def unmeasured(self, among: Collection[str], scorer: str) -> tuple[str, list[Subject]] | None:
        """The newest of these releases with concepts that nobody measured in it, and those."""
        query = _unmeasured(scorer).where(releases.c.id.in_(among))
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        if not rows:
            return None
        newest = rows[0].release_id
        return newest, [_subject(row) for row in rows if row.release_id == newest]

    def measured(self, release: str, subject: Subject, scorer: str, identity: float) -> None:
        """Keeps what the concept measures in a release, in the place of an earlier measure."""
        mine = fused_identities.c.release_id == release, fused_identities.c.concept_id == subject.id
        values = {"release_id": release, "concept_id": subject.id}
        values |= {"scorer": scorer, "identity": identity}
        with self._database.writing() as connection:
            if _is_shown(connection, subject.id):
                connection.execute(delete(fused_identities).where(*mine))
                connection.execute(insert(fused_identities).values(**values))


def _unfinished(scorer: str) -> Select[Any]:
    """The oldest first; behind the others those that already failed."""
    attempts = func.coalesce(sampled.c.attempts, 0)
    lacking = or_(sampled.c.done.is_(None), sampled.c.done.is_(False))
    if scorer:
        lacking |= or_(sampled.c.scorer.is_(None), sampled.c.scorer != scorer)
    return (
        select(concepts.c.id, concepts.c.name, concepts.c.sha256, sampled)
        .outerjoin(sampled, sampled.c.concept_id == concepts.c.id)
        .where(concepts.c.state.in_(SHOWN), attempts < MOST_ATTEMPTS, lacking)
        .order_by(attempts, concepts.c.id)
    )


def _unmeasured(scorer: str) -> Select[Any]:
    known = exists().where(
        fused_identities.c.release_id == releases.c.id,
        fused_identities.c.concept_id == concepts.c.id,
        fused_identities.c.scorer == scorer,
    )
    return (
        select(
            releases.c.id.label("release_id"),
            *(concepts.c.id, concepts.c.name, concepts.c.sha256, sampled),
        )
        .join(release_concepts, release_concepts.c.release_id == releases.c.id)
        .join(concepts, concepts.c.sha256 == release_concepts.c.sha256)
        .join(sampled, sampled.c.concept_id == concepts.c.id)
        .where(concepts.c.state.in_(SHOWN), sampled.c.scorer == scorer, ~known)
        .order_by(releases.c.sequence.desc(), concepts.c.id)
    )


def _is_shown(connection: Connection, concept: int) -> bool:
    mine = concepts.c.id == concept, concepts.c.state.in_(SHOWN)
    return connection.execute(select(concepts.c.id).where(*mine)).first() is not None


def _set(connection: Connection, concept: int, **values: Any) -> bool:
    """Changes the concept's row, made when it is missing; False for one that has no pictures any more."""
    if not _is_shown(connection, concept):
        return False
    mine = sampled.c.concept_id == concept
    if connection.execute(select(sampled.c.concept_id).where(mine)).first() is None:
        row = {"concept_id": concept, "attempts": 0, "done": False}
        connection.execute(insert(sampled).values(**row))
    connection.execute(update(sampled).where(mine).values(**values))
    return True


def _subject(row: Any) -> Subject:
    measure = Measure(row.scorer, row.identity, row.likeness) if row.scorer else None
    return Subject(row.id, row.name, row.sha256, measure)


def _sample(row: Any) -> Sample:
    return Sample(**{name: value for name, value in row._mapping.items() if name != "concept_id"})
