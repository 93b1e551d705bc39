"""Looking for concepts: by words, by state, a page at a time."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, true

from fedshow.errors import NotFound
from fedshow.roles import Role
from fedshow_server.store.concepts import LIVE, Concept, State, read_concepts
from fedshow_server.store.database import Database
from fedshow_server.store.members import Node
from fedshow_server.store.tables import concepts, nodes
from fedshow_server.store.visibility import hides


@dataclass(frozen=True)
class Sought:
    """What somebody looks for."""

    words: str = ""
    """Each is a part of the name, of the class, or of the owner's name."""
    states: tuple[State, ...] = LIVE


@dataclass(frozen=True)
class Found:
    """Some of it, newest first, and how much there is."""

    concepts: list[Concept]
    number: int


class Browser:
    """Concepts as a member looks at them; the server's owner sees all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, node: Node, sought: Sought, start: int, most: int) -> Found:
        """Those from `start` on, at most so many."""
        where = _seen_by(node) & concepts.c.state.in_(sought.states)
        for word in sought.words.split():
            where &= _has(word)
        with self._database.reading() as connection:
            found = read_concepts(connection, where, start, most)
            return Found(found, _number(connection, where))

    def get(self, node: Node, name: str) -> Concept:
        """The concept of this name: that which is live, or else the last. Raises NotFound."""
        named = _seen_by(node) & (concepts.c.name == name)
        with self._database.reading() as connection:
            found = _first(connection, named & concepts.c.state.in_(LIVE)) or _first(
                connection, named
            )
        if found is None:
            raise NotFound(f"no concept {name[:80]!r}")
        return found


def _first(connection: Connection, where: Any) -> Concept | None:
    return next(iter(read_concepts(connection, where, 0, 1)), None)


def _seen_by(node: Node) -> Any:
    return true() if node.role is Role.OWNER else ~hides(node)


def _has(word: str) -> Any:
    columns = (concepts.c.name, concepts.c.class_word, nodes.c.name)
    first, *others = (column.icontains(word, autoescape=True) for column in columns)
    for other in others:
        first |= other
    return first


def _number(connection: Connection, where: Any) -> int:
    query = select(func.count()).select_from(concepts.join(nodes)).where(where)
    return connection.scalar(query) or 0
