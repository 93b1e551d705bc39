"""Concepts and what becomes of them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from fedshow.errors import Exhausted, InvalidInput, NotFound
from fedshow_server.store.audit import note
from fedshow_server.store.concept_rows import (
    KEPT,
    LIVE,
    Concept,
    Removal,
    State,
    first_concept,
    read_concepts,
)
from fedshow_server.store.database import Database
from fedshow_server.store.members import Node
from fedshow_server.store.tables import (
    concepts,
    fused_identities,
    nodes,
    removals,
    sampled,
    samples,
    viewers,
)
from fedshow_server.store.visibility import hides

REPLACED = {"state": State.REPLACED, "reason": "replaced by a newer one"}
REJECTED = "rejected by the server's owner: {}"


@dataclass(frozen=True)
class Offer:
    """What a node says about a concept file before it hands the file over."""

    name: str
    class_word: str
    sha256: str
    size_bytes: int
    visible_to: frozenset[str] | None = None
    """Names of the nodes that may have it besides its own; None: everybody who joined."""


class Concepts:
    """Concepts in the database; every change is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(self, node_id: int, offer: Offer, at_once: int) -> Concept:
        """The concept, WANTED when it is new; repeating changes nothing.

        Raises InvalidInput, and Exhausted when `at_once` of the node are WANTED already.
        """
        with self._database.writing() as connection:
            known = first_concept(connection, concepts.c.sha256 == offer.sha256)
            if known is None:
                _refuse_taken(connection, node_id, offer.name)
                _refuse_too_many(connection, node_id, at_once)
                connection.execute(_insertion(node_id, offer))
                note(connection, "concept.offered", offer.name, sha256=offer.sha256)
                _set_viewers(connection, concepts.c.sha256 == offer.sha256, offer.visible_to)
                known = first_concept(connection, concepts.c.sha256 == offer.sha256)
            assert known is not None
            if (known.node_id, known.name) != (node_id, offer.name):
                raise InvalidInput(f"file {offer.sha256[:12]} is known here as another concept")
            return known

    def withdraw(self, name: str, node_id: int | None = None) -> Concept:
        """Takes the concept, older ones of its name too, out of what is fused and of `latest`.

        With `node_id` only that node's. Raises NotFound.
        """
        with self._database.writing() as connection:
            where = (concepts.c.name == name) & concepts.c.state.in_((*LIVE, State.REPLACED))
            if node_id is not None:
                where &= concepts.c.node_id == node_id
            found = first_concept(connection, where)
            if found is None:
                raise NotFound(f"no concept {name!r} that could be taken out")
            _delete_samples(connection, where)
            connection.execute(update(concepts).where(where).values(state=State.WITHDRAWN))
            action = "concept.removed" if node_id is None else "concept.withdrawn"
            note(connection, action, name, sha256=found.sha256)
            after = first_concept(connection, concepts.c.sha256 == found.sha256)
            assert after is not None
            return after

    def show(self, name: str, node_id: int, visible_to: frozenset[str] | None) -> Concept:
        """Changes who may have the node's concept and releases with it, older ones too. Raises NotFound."""
        with self._database.writing() as connection:
            mine = (concepts.c.name == name) & (concepts.c.node_id == node_id)
            found = first_concept(connection, mine & concepts.c.state.in_(LIVE))
            if found is None:
                raise NotFound(f"no concept {name!r} of this node")
            _set_viewers(connection, mine, visible_to)
            names = "everybody" if visible_to is None else " ".join(sorted(visible_to))
            note(connection, "concept.shown", name, sha256=found.sha256, to=names)
            after = first_concept(connection, concepts.c.sha256 == found.sha256)
            assert after is not None
            return after

    def admit(self, sha256: str, rank: int | None = None) -> None:
        """A WANTED concept goes into the next release, in place of an older one of its name.

        `rank` is what its file says. When a newer one of its name came first, that one stays.
        """
        with self._database.writing() as connection:
            found = first_concept(connection, _wanted(sha256))
            if found is None:  # withdrawn meanwhile, or handed over twice
                return
            if _newer_is_here(connection, found):
                connection.execute(update(concepts).where(_wanted(sha256)).values(REPLACED))
                return
            _replace_older(connection, found)
            values = {"state": State.ADMITTED, "rank": rank}
            connection.execute(update(concepts).where(_wanted(sha256)).values(values))
            note(connection, "concept.admitted", found.name, sha256=sha256, owner=found.owner)

    def refuse(self, sha256: str, reason: str) -> None:
        """A WANTED concept is refused for good."""
        self._refuse(_wanted(sha256), reason)

    def refuse_admitted(self, sha256: str, reason: str) -> None:
        """An ADMITTED concept turned out to be unusable: it is refused after all."""
        self._refuse(_admitted(sha256), reason)

    def quarantine(self, sha256: str, reason: str) -> None:
        """A concept that is ADMITTED, but odd, is PENDING from now on."""
        with self._database.writing() as connection:
            found = first_concept(connection, _admitted(sha256))
            if found is None:
                return
            values = {"state": State.PENDING, "reason": reason}
            connection.execute(update(concepts).where(_admitted(sha256)).values(values))
            note(connection, "concept.pending", found.name, sha256=sha256, reason=reason[:500])

    def approve(self, name: str, sha256: str | None = None) -> Concept:
        """The PENDING concept of this name, ADMITTED whatever is odd about it.

        Raises NotFound, and InvalidInput when its file is another one than `sha256`.
        """
        with self._database.writing() as connection:
            found = _pending(connection, name, sha256)
            _replace_older(connection, found)
            values = {"state": State.ADMITTED, "reason": "", "approved": True}
            return _decided(connection, found, "concept.approved", values)

    def reject(self, name: str, sha256: str | None = None) -> Concept:
        """The PENDING concept of this name, refused for good. Raises as `approve` does."""
        with self._database.writing() as connection:
            found = _pending(connection, name, sha256)
            _delete_samples(connection, concepts.c.sha256 == found.sha256)
            values = {"state": State.REFUSED, "reason": REJECTED.format(found.reason)}
            return _decided(connection, found, "concept.rejected", values)

    def _refuse(self, where: Any, reason: str) -> None:
        with self._database.writing() as connection:
            found = first_concept(connection, where)
            if found is None:
                return
            _delete_samples(connection, where)
            values = {"state": State.REFUSED, "reason": reason}
            connection.execute(update(concepts).where(where).values(values))
            note(
                connection, "concept.refused", found.name, sha256=found.sha256, reason=reason[:500]
            )

    def removed(self, receipt: Removal) -> None:
        """Keeps the receipt, when it is not kept already."""
        known = (removals.c.sha256 == receipt.sha256) & (
            removals.c.remaining_sha256 == receipt.remaining_sha256
        )
        with self._database.writing() as connection:
            if connection.execute(select(removals).where(known)).first():
                return
            connection.execute(insert(removals).values(**vars(receipt)))
            found = first_concept(connection, concepts.c.sha256 == receipt.sha256)
            note(
                connection,
                "concept.forgotten",
                found.name if found else receipt.sha256,
                sha256=receipt.sha256,
                remaining=receipt.remaining_sha256,
                difference=f"{receipt.largest_difference:.1e}",
            )

    def all(self) -> list[Concept]:
        """Every concept, newest first."""
        with self._database.reading() as connection:
            return read_concepts(connection, concepts.c.id.is_not(None))

    def seen_by(self, node: Node) -> list[Concept]:
        """The node's own, and of others those that are admitted and that it may have; newest first."""
        own = concepts.c.node_id == node.id
        others = (concepts.c.state == State.ADMITTED) & ~hides(node)
        with self._database.reading() as connection:
            return read_concepts(connection, own | others)

    def special_viewers(self) -> set[int]:
        """Ids of nodes that may have a concept that not everybody may; all others may have the same."""
        named = select(nodes.c.id).join(viewers, viewers.c.node_name == nodes.c.name)
        owning = select(concepts.c.node_id).where(concepts.c.restricted)
        with self._database.reading() as connection:
            return {*connection.scalars(named), *connection.scalars(owning)}

    def wanted(self) -> list[Concept]:
        """Concepts to collect: WANTED, of nodes that may hand over; newest first."""
        able = nodes.c.revoked.is_(None) & nodes.c.flower_id.is_not(None)
        with self._database.reading() as connection:
            return read_concepts(connection, (concepts.c.state == State.WANTED) & able)

    def admitted(self) -> list[Concept]:
        """Concepts that belong into the next release; newest first."""
        with self._database.reading() as connection:
            return read_concepts(connection, concepts.c.state == State.ADMITTED)


def _refuse_taken(connection: Connection, node_id: int, name: str) -> None:
    others = (
        (concepts.c.name == name) & concepts.c.state.in_(LIVE) & (concepts.c.node_id != node_id)
    )
    if first_concept(connection, others):
        raise InvalidInput(f"the name {name!r} is taken by another node's concept: choose another")


def _refuse_too_many(connection: Connection, node_id: int, at_once: int) -> None:
    waiting = (concepts.c.node_id == node_id) & (concepts.c.state == State.WANTED)
    query = select(func.count()).select_from(concepts).where(waiting)
    if (connection.scalar(query) or 0) >= at_once:
        raise Exhausted(f"{at_once} concepts of this node are still to be collected: try later")


def _newer_is_here(connection: Connection, found: Concept) -> bool:
    same = concepts.alias()
    place = select(same.c.id).where(same.c.sha256 == found.sha256).scalar_subquery()
    newer = (concepts.c.name == found.name) & (concepts.c.id > place)
    return first_concept(connection, newer & concepts.c.state.in_(KEPT)) is not None


def _replace_older(connection: Connection, newer: Concept) -> None:
    older = (concepts.c.name == newer.name) & (concepts.c.sha256 != newer.sha256)
    older &= concepts.c.state.in_(KEPT)
    _delete_samples(connection, older)
    connection.execute(update(concepts).where(older).values(REPLACED))


def _delete_samples(connection: Connection, where: Any) -> None:
    """What was drawn with these concepts, and measured in it."""
    gone = connection.scalars(select(concepts.c.id).where(where)).all()
    for table in (samples, sampled, fused_identities):
        connection.execute(delete(table).where(table.c.concept_id.in_(gone)))


def _pending(connection: Connection, name: str, sha256: str | None) -> Concept:
    found = first_concept(
        connection, (concepts.c.name == name) & (concepts.c.state == State.PENDING)
    )
    if found is None:
        raise NotFound(f"no concept {name!r} waits for a decision")
    if sha256 is not None and found.sha256 != sha256:
        raise InvalidInput(
            f"the concept {name!r} that waits is now file {found.sha256}, not {sha256[:64]!r}: "
            "look at it first"
        )
    return found


def _decided(
    connection: Connection, found: Concept, action: str, values: dict[str, Any]
) -> Concept:
    mine = concepts.c.sha256 == found.sha256
    connection.execute(update(concepts).where(mine).values(values))
    note(connection, action, found.name, sha256=found.sha256, reason=found.reason[:500])
    after = first_concept(connection, mine)
    assert after is not None
    return after


def _admitted(sha256: str) -> Any:
    return (concepts.c.sha256 == sha256) & (concepts.c.state == State.ADMITTED)


def _wanted(sha256: str) -> Any:
    return (concepts.c.sha256 == sha256) & (concepts.c.state == State.WANTED)


def _insertion(node_id: int, offer: Offer) -> Any:
    return insert(concepts).values(
        node_id=node_id,
        name=offer.name,
        class_word=offer.class_word,
        sha256=offer.sha256,
        size_bytes=offer.size_bytes,
        state=State.WANTED,
        reason="",
        created=datetime.now(UTC),
    )


def _set_viewers(connection: Connection, where: Any, visible_to: frozenset[str] | None) -> None:
    ids = connection.scalars(select(concepts.c.id).where(where)).all()
    connection.execute(delete(viewers).where(viewers.c.concept_id.in_(ids)))
    restricted = visible_to is not None
    connection.execute(update(concepts).where(where).values(restricted=restricted))
    rows = [{"concept_id": id_, "node_name": name} for id_ in ids for name in visible_to or ()]
    if rows:
        connection.execute(insert(viewers), rows)
