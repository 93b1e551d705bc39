"""Who may talk to this server: invitations, and the nodes that redeemed one."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Any

from sqlalchemy import Connection, insert, select, update

from fedshow.errors import Forbidden, InvalidInput, NotFound
from fedshow.roles import Role
from fedshow_server.store.audit import note
from fedshow_server.store.database import Database
from fedshow_server.store.tables import concepts, invites, nodes

SECRET_BYTES = 32
HOUR = timedelta(hours=1)


def hash_secret(secret: str) -> str:
    """How secrets and tokens are kept; they are random, so no salt is needed."""
    return sha256(secret.encode()).hexdigest()


@dataclass(frozen=True)
class Node:
    """A member of the federation."""

    id: int
    name: str
    role: Role
    flower_id: int | None
    """Flower's number for its key; None for those that hand nothing over."""
    joined: datetime
    revoked: datetime | None


@dataclass(frozen=True)
class Invitation:
    """What a join code is good for."""

    node_name: str
    role: Role


class Members:
    """Invitations and nodes in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def invite(self, node_name: str, lifetime: timedelta, role: Role = Role.CONTRIBUTOR) -> str:
        """A fresh secret that lets one node join as `node_name`. Raises InvalidInput."""
        secret = token_urlsafe(SECRET_BYTES)
        with self._database.writing() as connection:
            _refuse_taken(connection, node_name)
            connection.execute(
                insert(invites).values(
                    secret_sha256=hash_secret(secret),
                    node_name=node_name,
                    role=role,
                    expires=datetime.now(UTC) + lifetime,
                )
            )
            hours = round(lifetime / HOUR)
            note(connection, "node.invited", node_name, hours=hours, role=role)
        return secret

    def invitation(self, secret: str) -> Invitation:
        """What `secret` is good for now; raises Forbidden."""
        with self._database.reading() as connection:
            return _valid_invite(connection, secret)

    def rejoin(self, secret: str, public_key: str) -> tuple[Node, str] | None:
        """For a node that joined, but never heard so: itself with a new token, else None.

        The same secret and the same key, before the invitation expires.
        """
        token = token_urlsafe(SECRET_BYTES)
        with self._database.writing() as connection:
            row = connection.execute(_joined_with(secret, public_key)).first()
            if row is None:
                return None
            mine = nodes.c.id == row.id
            connection.execute(update(nodes).where(mine).values(token_sha256=hash_secret(token)))
            note(connection, "node.rejoined", row.name, node_id=row.flower_id)
        return node_of(row), token

    def join(self, secret: str, public_key: str, flower_id: int | None) -> tuple[Node, str]:
        """Redeems `secret`: the new node and its token, told this once. Raises Forbidden.

        What a revoked node of this name brought is the new one's: a name stands for one person.
        `flower_id` is None for a node that brings no concepts.
        """
        token = token_urlsafe(SECRET_BYTES)
        with self._database.writing() as connection:
            invited = _valid_invite(connection, secret)
            name, number = invited.node_name, None if flower_id is None else str(flower_id)
            _refuse_taken(connection, name)
            now = datetime.now(UTC)
            connection.execute(
                update(invites)
                .where(invites.c.secret_sha256 == hash_secret(secret))
                .values(used=now)
            )
            connection.execute(
                insert(nodes).values(
                    name=name,
                    role=invited.role,
                    flower_id=number,
                    public_key=public_key,
                    token_sha256=hash_secret(token),
                    joined=now,
                )
            )
            note(connection, "node.joined", name, node_id=number, role=invited.role)
            mine = nodes.c.token_sha256 == hash_secret(token)
            joined = node_of(connection.execute(select(nodes).where(mine)).one())
            _pass_on(connection, joined)
            return joined, token

    def authenticate(self, token: str) -> Node:
        """The node that holds `token`; raises Forbidden for unknown and revoked ones."""
        wanted = hash_secret(token)
        with self._database.reading() as connection:
            row = connection.execute(select(nodes).where(nodes.c.token_sha256 == wanted)).first()
        if row is None or not compare_digest(row.token_sha256, wanted):
            raise Forbidden("this token is not known here: join the server first")
        if row.revoked is not None:
            raise Forbidden(f"node {row.name!r} was cut off by the server's owner")
        return node_of(row)

    def holder(self, public_key: str) -> Node:
        """The node that hands over with this key; raises Forbidden for unknown and revoked ones."""
        mine = (nodes.c.public_key == public_key) & nodes.c.flower_id.is_not(None)
        with self._database.reading() as connection:
            rows = connection.execute(select(nodes).where(mine).order_by(nodes.c.id)).all()
        if not rows:
            raise Forbidden("this key is not known here: join the server first")
        if rows[-1].revoked is not None:
            raise Forbidden(f"node {rows[-1].name!r} was cut off by the server's owner")
        return node_of(rows[-1])

    def nodes(self) -> list[Node]:
        """All nodes, in the order in which they joined."""
        with self._database.reading() as connection:
            return [node_of(row) for row in connection.execute(select(nodes).order_by(nodes.c.id))]

    def unlisted(self, listed: Collection[int]) -> list[tuple[Node, str]]:
        """Active nodes that have a number of Flower's, but none of these, with their public keys."""
        query = select(nodes).where(nodes.c.revoked.is_(None), nodes.c.flower_id.is_not(None))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(nodes.c.id)).all()
        return [(node_of(row), row.public_key) for row in rows if int(row.flower_id) not in listed]

    def renumber(self, node: Node, flower_id: int) -> None:
        """Flower knows the node by this number from now on."""
        number = str(flower_id)
        with self._database.writing() as connection:
            mine = nodes.c.id == node.id
            connection.execute(update(nodes).where(mine).values(flower_id=number))
            note(connection, "node.registered", node.name, node_id=number)

    def revoke(self, name: str) -> Node:
        """Cuts the node of this name off; raises NotFound."""
        with self._database.writing() as connection:
            active = (nodes.c.name == name) & nodes.c.revoked.is_(None)
            row = connection.execute(select(nodes).where(active)).first()
            if row is None:
                raise NotFound(f"no active node {name!r}")
            connection.execute(
                update(nodes).where(nodes.c.id == row.id).values(revoked=datetime.now(UTC))
            )
            note(connection, "node.revoked", name, node_id=row.flower_id)
            return node_of(connection.execute(select(nodes).where(nodes.c.id == row.id)).one())


def _joined_with(secret: str, public_key: str) -> Any:
    return (
        select(nodes)
        .join(invites, invites.c.used == nodes.c.joined)
        .where(
            invites.c.secret_sha256 == hash_secret(secret),
            invites.c.expires > datetime.now(UTC),
            nodes.c.public_key == public_key,
            nodes.c.revoked.is_(None),
        )
    )


def _valid_invite(connection: Connection, secret: str) -> Invitation:
    row = connection.execute(
        select(invites).where(invites.c.secret_sha256 == hash_secret(secret))
    ).first()
    if row is None:
        raise Forbidden("this join code is not from this server")
    if row.used is not None:
        raise Forbidden("this join code was used already: ask for a new one")
    if row.expires <= datetime.now(UTC):
        raise Forbidden(f"this join code expired on {row.expires:%Y-%m-%d %H:%M} UTC")
    return Invitation(row.node_name, Role(row.role))


def _pass_on(connection: Connection, node: Node) -> None:
    """Gives the node the concepts of those that had its name before."""
    before = select(nodes.c.id).where(nodes.c.name == node.name, nodes.c.id != node.id)
    theirs = concepts.c.node_id.in_(before)
    connection.execute(update(concepts).where(theirs).values(node_id=node.id))


def _refuse_taken(connection: Connection, name: str) -> None:
    active = (nodes.c.name == name) & nodes.c.revoked.is_(None)
    if connection.execute(select(nodes.c.id).where(active)).first():
        raise InvalidInput(f"there is a node {name!r} already: choose another name")


def node_of(row: Any) -> Node:
    """The node in a row of its table."""
    flower_id = None if row.flower_id is None else int(row.flower_id)
    return Node(row.id, row.name, Role(row.role), flower_id, row.joined, row.revoked)
