"""The audit log as a member may read it: owners all of it, others what concerns them."""

from typing import Any

from sqlalchemy import Connection, select, true

from fedshow.roles import Role
from fedshow_server.store.audit import Entry, read_entries
from fedshow_server.store.database import Database
from fedshow_server.store.members import Node
from fedshow_server.store.tables import audit, concepts, releases
from fedshow_server.store.visibility import shows_release

PUBLISHED = "release.published"


class History:
    """What happened, for people."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def last(self, node: Node, count: int) -> list[Entry]:
        """The newest entries that the node may read, oldest first."""
        with self._database.reading() as connection:
            query = select(audit).where(_about(node)).order_by(audit.c.position.desc())
            return _readable(connection, node, read_entries(connection, query.limit(count)))[::-1]

    def after(self, node: Node, position: int, most: int) -> tuple[list[Entry], int]:
        """Those after this position, of `most` rows, and how far that went."""
        query = select(audit).where(_about(node), audit.c.position > position)
        with self._database.reading() as connection:
            found = read_entries(connection, query.order_by(audit.c.position).limit(most))
            reached = found[-1].position if found else position
            return _readable(connection, node, found), reached


def _about(node: Node) -> Any:
    """Rows that may concern the node; those about concepts are looked at more closely."""
    if node.role is Role.OWNER:
        return true()
    its = select(concepts.c.name).where(concepts.c.node_id == node.id)
    seen = select(releases.c.id).where(shows_release(node))
    return (
        (audit.c.who == f"node {node.name}")
        | (audit.c.action.startswith("node.") & (audit.c.subject == node.name))
        | (audit.c.action.startswith("concept.") & audit.c.subject.in_(its))
        | ((audit.c.action == PUBLISHED) & audit.c.subject.in_(seen))
    )


def _readable(connection: Connection, node: Node, found: list[Entry]) -> list[Entry]:
    """Without concepts of the same name that were another node's."""
    if node.role is Role.OWNER:
        return found
    query = select(concepts.c.sha256).where(concepts.c.node_id == node.id)
    digests = set(connection.scalars(query))
    return [
        entry
        for entry in found
        if not entry.action.startswith("concept.") or entry.details.get("sha256") in digests
    ]
