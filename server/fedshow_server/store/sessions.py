"""Who is signed in with a browser: by a secret of its own, as long as the node's token is good."""

from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe

from sqlalchemy import Connection, delete, insert, select

from fedshow.errors import Forbidden
from fedshow_server.store.audit import note
from fedshow_server.store.database import Database
from fedshow_server.store.members import SECRET_BYTES, Node, hash_secret, node_of
from fedshow_server.store.tables import nodes, sessions

MOST_OF_A_NODE = 16
"""The one that would end first goes when there is another."""


class Sessions:
    """Sessions in the database, by the hash of their secret."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, node: Node, token: str, lifetime: timedelta) -> str:
        """The secret of a new session of the node, begun with this token of its."""
        secret, now = token_urlsafe(SECRET_BYTES), datetime.now(UTC)
        values = {
            "secret_sha256": hash_secret(secret),
            "node_id": node.id,
            "token_sha256": hash_secret(token),
            "expires": now + lifetime,
        }
        with self._database.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.expires <= now))
            _end_oldest(connection, node)
            connection.execute(insert(sessions).values(**values))
            note(connection, "session.begun", node.name)
        return secret

    def find(self, secret: str) -> Node:
        """The node that is signed in with this secret. Raises Forbidden.

        Ended with the time it had, and with the token that it was begun with: when the node is revoked or is
        given another.
        """
        good = (
            (sessions.c.secret_sha256 == hash_secret(secret))
            & (sessions.c.expires > datetime.now(UTC))
            & (sessions.c.token_sha256 == nodes.c.token_sha256)
            & nodes.c.revoked.is_(None)
        )
        query = select(nodes).join(sessions, sessions.c.node_id == nodes.c.id).where(good)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise Forbidden("this session has ended: sign in again")
        return node_of(row)

    def end(self, secret: str) -> None:
        """Nobody is signed in with this secret any more."""
        mine = sessions.c.secret_sha256 == hash_secret(secret)
        with self._database.writing() as connection:
            connection.execute(delete(sessions).where(mine))


def _end_oldest(connection: Connection, node: Node) -> None:
    query = select(sessions.c.secret_sha256).where(sessions.c.node_id == node.id)
    newest_first = query.order_by(sessions.c.expires.desc())
    gone = connection.scalars(newest_first.offset(MOST_OF_A_NODE - 1)).all()
    connection.execute(delete(sessions).where(sessions.c.secret_sha256.in_(gone)))
