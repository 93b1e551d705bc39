"""Concepts as the database has them: what one is, its stages, and reading it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select

from fedshow_server.store.tables import concepts, nodes, removals, viewers
from fedshow_server.store.visibility import Viewer


class State(StrEnum):
    """Stages of a concept; the contract's ConceptState in words."""

    WANTED = "wanted"
    PENDING = "pending"
    """Kept, but something is odd about it: the owner decides."""
    ADMITTED = "admitted"
    REFUSED = "refused"
    REPLACED = "replaced"
    """Its node brought a newer one of the same name."""
    WITHDRAWN = "withdrawn"


KEPT = (State.PENDING, State.ADMITTED)
"""The server has the file."""
LIVE = (State.WANTED, *KEPT)
COLUMNS = (concepts, nodes.c.name.label("owner"), nodes.c.flower_id, nodes.c.revoked)


@dataclass(frozen=True)
class Removal:
    """The receipt of a concept that was taken out of what fusions recorded."""

    sha256: str
    """Of its file."""
    remaining: int
    """How many concepts were left."""
    remaining_sha256: str
    """Of base, recording, and the names, files and weights of those that were left."""
    largest_difference: float
    """Between their fusion and one that never saw it, relative, the largest over all layers."""
    at: datetime


@dataclass(frozen=True)
class Concept:
    """One concept, whose it is and its state."""

    name: str
    class_word: str
    sha256: str
    size_bytes: int
    node_id: int
    owner: str
    flower_id: int | None
    """Flower's number for its owner's key; None when the owner hands nothing over any more."""
    state: State
    reason: str
    created: datetime
    approved: bool
    """Whether the owner let it in although something is odd about it."""
    visible_to: frozenset[str] | None
    """As in its offer, or as its node changed it since."""
    removal: Removal | None
    """The last of its receipts."""

    def is_for(self, viewer: Viewer) -> bool:
        """Whether the viewer may have it."""
        if self.visible_to is None:
            return True
        return viewer is not None and (viewer.id == self.node_id or viewer.name in self.visible_to)


def read_concepts(
    connection: Connection, where: Any, start: int = 0, most: int | None = None
) -> list[Concept]:
    """The concepts in these rows of `concepts` joined with `nodes`, newest first."""
    query = select(*COLUMNS).join(nodes).where(where).order_by(concepts.c.id.desc())
    rows = connection.execute(query.offset(start).limit(most)).all()
    named: dict[int, set[str]] = {row.id: set() for row in rows if row.restricted}
    if named:
        query = select(viewers).where(viewers.c.concept_id.in_(named))
        for viewer in connection.execute(query):
            named[viewer.concept_id].add(viewer.node_name)
    receipts = _receipts(connection, [row.sha256 for row in rows if row.state == State.WITHDRAWN])
    return [_concept(row, named.get(row.id), receipts.get(row.sha256)) for row in rows]


def _receipts(connection: Connection, digests: list[str]) -> dict[str, Removal]:
    if not digests:
        return {}
    query = select(removals).where(removals.c.sha256.in_(digests)).order_by(removals.c.at)
    return {row.sha256: Removal(**row._mapping) for row in connection.execute(query)}


def first_concept(connection: Connection, where: Any) -> Concept | None:
    """The newest of the concepts that are meant; None when there is none."""
    return next(iter(read_concepts(connection, where)), None)


def _concept(row: Any, named: set[str] | None, removal: Removal | None) -> Concept:
    return Concept(
        name=row.name,
        class_word=row.class_word,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        node_id=row.node_id,
        owner=row.owner,
        flower_id=None if row.flower_id is None else int(row.flower_id),
        state=State(row.state),
        reason=row.reason,
        created=row.created,
        approved=row.approved,
        visible_to=None if named is None else frozenset(named),
        removal=removal,
    )
