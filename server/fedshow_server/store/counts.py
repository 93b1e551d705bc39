"""How much of everything there is."""

from dataclasses import dataclass

from sqlalchemy import Connection, Table, func, select

from fedshow_server.store.concept_rows import State
from fedshow_server.store.database import Database
from fedshow_server.store.tables import audit, concepts, nodes, releases


@dataclass(frozen=True)
class Counts:
    """The store in numbers, all of one moment."""

    concepts: dict[State, int]
    releases: int
    nodes: int
    """Without revoked ones."""
    audit_entries: int


def count_all(database: Database) -> Counts:
    """The numbers of now; raises Unreachable."""
    state = concepts.c.state
    with database.reading() as connection:
        rows = connection.execute(select(state, func.count()).group_by(state)).all()
        active = select(func.count()).select_from(nodes).where(nodes.c.revoked.is_(None))
        return Counts(
            concepts=dict.fromkeys(State, 0) | {State(name): count for name, count in rows},
            releases=_size(connection, releases),
            nodes=connection.scalar(active) or 0,
            audit_entries=connection.scalar(select(func.max(audit.c.position))) or 0,
        )


def _size(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0
