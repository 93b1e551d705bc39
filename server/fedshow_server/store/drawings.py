"""Drawings that members asked for: who, of which release, how far they are."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from secrets import token_hex
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, func, insert, literal, or_, select, update

from fedshow.errors import Exhausted, NotFound
from fedshow_server.store.concept_rows import State
from fedshow_server.store.database import Database
from fedshow_server.store.members import Node
from fedshow_server.store.tables import concepts, drawings, release_concepts

MOST_ATTEMPTS = 2
"""A drawing that ends its worker so often is not tried again."""

BUSY_SECONDS = 10.0
"""When it is worth asking again, for whoever has too many."""


class DrawingState(StrEnum):
    """How far a drawing is."""

    QUEUED = "queued"
    DRAWING = "drawing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED = (DrawingState.QUEUED, DrawingState.DRAWING)


@dataclass(frozen=True)
class Drawing:
    """One order of pictures."""

    number: int
    id: str
    node_id: int
    release_id: str
    recipe: str
    """JSON of a `RecipeDocument`."""

    pictures: int
    state: DrawingState
    reason: str
    """Why it failed."""

    attempts: int
    done_steps: int
    all_steps: int
    """0 before the first step."""

    created: datetime
    ended: datetime | None


SHOWS_WITHDRAWN = exists().where(
    release_concepts.c.release_id == drawings.c.release_id,
    concepts.c.sha256 == release_concepts.c.sha256,
    concepts.c.state == State.WITHDRAWN,
    or_(
        *(
            func.lower(drawings.c.recipe).contains(literal("<").concat(concepts.c.name).concat(end))
            for end in (">", "1>", "2>")
        )
    ),
)
"""The recipe names a concept, or a word of one, that was withdrawn."""


class Drawings:
    """Drawings in the database; their pictures are files."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, node: Node, release: str, recipe: str, pictures: int, at_once: int) -> Drawing:
        """Queues a drawing; raises Exhausted for a node that has `at_once` unfinished ones."""
        with self._database.writing() as connection:
            own = drawings.c.node_id == node.id, drawings.c.state.in_(UNFINISHED)
            unfinished = connection.scalar(select(func.count()).where(*own)) or 0
            if unfinished >= at_once:
                raise Exhausted(
                    f"{unfinished} drawings of yours are not finished, limit {at_once}",
                    BUSY_SECONDS,
                )
            values: dict[str, Any] = {
                "id": token_hex(8),
                "node_id": node.id,
                "release_id": release,
                "recipe": recipe,
                "pictures": pictures,
                "state": DrawingState.QUEUED,
                "reason": "",
                "attempts": 0,
                "done_steps": 0,
                "all_steps": 0,
                "created": datetime.now(UTC),
            }
            connection.execute(insert(drawings).values(**values))
            return _one(connection, drawings.c.id == values["id"])

    def of(self, node: Node) -> list[Drawing]:
        """All of a node's, newest first."""
        query = select(drawings).where(drawings.c.node_id == node.id)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(drawings.c.number.desc())).all()
        return [_drawing(row) for row in rows]

    def get(self, node: Node, drawing: str) -> Drawing:
        """One of a node's; raises NotFound, for those of others, too."""
        with self._database.reading() as connection:
            return _one(connection, (drawings.c.id == drawing) & (drawings.c.node_id == node.id))

    def ahead(self, drawing: Drawing) -> int:
        """How many unfinished ones come before it."""
        before = drawings.c.state.in_(UNFINISHED), drawings.c.number < drawing.number
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).where(*before)) or 0

    def cancel(self, node: Node, drawing: str) -> Drawing:
        """Ends one of a node's unless it has ended; raises NotFound."""
        found = self.get(node, drawing)
        self._end(found.id, DrawingState.CANCELLED, "")
        return self.get(node, drawing)

    def unfinished(self) -> list[Drawing]:
        """Of everybody, in the order in which they are made."""
        query = select(drawings).where(drawings.c.state.in_(UNFINISHED))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(drawings.c.number)).all()
        return [_drawing(row) for row in rows]

    def waiting(self) -> bool:
        """Whether any is queued."""
        query = select(func.count()).where(drawings.c.state == DrawingState.QUEUED)
        with self._database.reading() as connection:
            return bool(connection.scalar(query))

    def claim(self) -> Drawing | None:
        """The drawing to make next, from now on `drawing`; None when there is none."""
        first = select(func.min(drawings.c.number)).where(drawings.c.state == DrawingState.QUEUED)
        with self._database.writing() as connection:
            number = connection.scalar(first)
            if number is None:
                return None
            mine = drawings.c.number == number
            values = {"state": DrawingState.DRAWING, "attempts": drawings.c.attempts + 1}
            connection.execute(update(drawings).where(mine).values(**values))
            return _one(connection, mine)

    def progress(self, drawing: str, done: int, steps: int) -> bool:
        """Notes how far it is; False when nobody wants it any more."""
        mine = drawings.c.id == drawing, drawings.c.state == DrawingState.DRAWING
        with self._database.writing() as connection:
            values = {"done_steps": done, "all_steps": steps}
            return bool(connection.execute(update(drawings).where(*mine).values(**values)).rowcount)

    def finish(self, drawing: str) -> None:
        """Its pictures are there."""
        self._end(drawing, DrawingState.DONE, "")

    def fail(self, drawing: str, reason: str) -> None:
        """It cannot be made."""
        self._end(drawing, DrawingState.FAILED, reason)

    def give_back(self) -> None:
        """Those that a worker began with before it died: once more, then they have failed."""
        left = drawings.c.state == DrawingState.DRAWING
        with self._database.writing() as connection:
            often = left & (drawings.c.attempts >= MOST_ATTEMPTS)
            reason = f"the server's worker ended {MOST_ATTEMPTS} times while it drew this"
            failed = {"state": DrawingState.FAILED, "reason": reason, "ended": datetime.now(UTC)}
            connection.execute(update(drawings).where(often).values(**failed))
            again = {"state": DrawingState.QUEUED, "done_steps": 0, "all_steps": 0}
            connection.execute(update(drawings).where(left).values(**again))

    def forget(self, before: datetime) -> list[str]:
        """Deletes what ended before this moment, and what ended and shows a concept that was withdrawn.

        Returns the ids, so that pictures can be deleted, too.
        """
        old = (drawings.c.ended < before) | (drawings.c.ended.is_not(None) & SHOWS_WITHDRAWN)
        with self._database.writing() as connection:
            found = list(connection.scalars(select(drawings.c.id).where(old)))
            connection.execute(delete(drawings).where(old))
        return found

    def _end(self, drawing: str, state: DrawingState, reason: str) -> None:
        mine = drawings.c.id == drawing, drawings.c.state.in_(UNFINISHED)
        values = {"state": state, "reason": reason, "ended": datetime.now(UTC)}
        with self._database.writing() as connection:
            connection.execute(update(drawings).where(*mine).values(**values))


def _one(connection: Connection, which: Any) -> Drawing:
    row = connection.execute(select(drawings).where(which)).first()
    if row is None:
        raise NotFound("no such drawing")
    return _drawing(row)


def _drawing(row: Row[Any]) -> Drawing:
    return Drawing(**{**row._mapping, "state": DrawingState(row.state)})
