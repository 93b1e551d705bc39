"""Concepts as people look at them: who may see which, found by words, a page at a time.

A member sees its own concepts in every state, and of others those that are admitted and that it may have; an
owner of the server sees all. Every question costs the same few queries, however many concepts there are.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, case, func, or_, select, true

from fedshow.errors import NotFound
from fedshow.roles import Role
from fedshow_server.store.cards import (
    STATES,
    STATUS_OF,
    Card,
    Choices,
    Identity,
    Page,
    Picture,
    Search,
)
from fedshow_server.store.concept_rows import LIVE, State
from fedshow_server.store.database import Database
from fedshow_server.store.members import Node
from fedshow_server.store.tables import (
    concepts,
    fused_identities,
    nodes,
    release_concepts,
    releases,
    sampled,
    samples,
    viewers,
)
from fedshow_server.store.visibility import hides

MOST_AT_ONCE = 200
SHORTEST_PREFIX = 16


class Showcase:
    """What the gallery shows of concepts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, viewer: Node, search: Search) -> Page:
        """The concepts that the viewer may see and searches for, `search.limit` of them, newest first."""
        where = _shown_to(viewer) & _found_by(search)
        with self._database.reading() as connection:
            total = connection.scalar(_counting().where(where)) or 0
            limit = min(search.limit, MOST_AT_ONCE)
            query = _rows().where(where).order_by(concepts.c.id.desc())
            rows = connection.execute(query.limit(limit).offset(search.offset)).all()
            return Page(total, _cards(connection, viewer, rows))

    def one(self, viewer: Node, name: str) -> Card:
        """The concept of this name that the viewer may see: the one that waits for the owner, or else a
        live one, or else the last. Raises NotFound.
        """
        query = _rows().where(_shown_to(viewer), concepts.c.name == name)
        waits, lives = concepts.c.state == State.PENDING, concepts.c.state.in_(LIVE)
        order = case((waits, 0), (lives, 1), else_=2)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(order, concepts.c.id.desc()).limit(1)).all()
            if not rows:
                raise NotFound(f"no concept {name[:64]!r}")
            return _cards(connection, viewer, rows)[0]

    def named(self, viewer: Node, names: Sequence[str]) -> dict[str, Card]:
        """The live concepts of these names that the viewer may see, by name."""
        where = _shown_to(viewer) & concepts.c.name.in_(names) & concepts.c.state.in_(LIVE)
        with self._database.reading() as connection:
            rows = connection.execute(_rows().where(where)).all()
            return {card.name: card for card in _cards(connection, viewer, rows)}

    def picture(self, viewer: Node, name: str, prefix: str) -> tuple[str, bytes]:
        """Digest and content of a sample whose digest starts like this. Raises NotFound."""
        query = (
            select(samples.c.sha256, samples.c.content)
            .join(concepts, concepts.c.id == samples.c.concept_id)
            .where(_shown_to(viewer), concepts.c.name == name)
            .where(samples.c.sha256.startswith(prefix, autoescape=True))
        )
        with self._database.reading() as connection:
            row = connection.execute(query.limit(1)).first()
        if row is None or len(prefix) < SHORTEST_PREFIX:
            raise NotFound(f"concept {name[:64]!r} has no such sample")
        return row.sha256, row.content

    def choices(self, viewer: Node) -> Choices:
        """Statuses, classes and owners of all concepts that the viewer may see."""
        with self._database.reading() as connection:

            def count(by: Any) -> dict[str, int]:
                query = _counting().add_columns(by).where(_shown_to(viewer))
                rows = connection.execute(query.group_by(by).order_by(by)).all()
                return {value: number for number, value in rows}

            states = count(concepts.c.state)
            return Choices(
                {STATUS_OF[State(state)]: number for state, number in states.items()},
                count(concepts.c.class_word),
                count(nodes.c.name),
            )

    def identities(self, release: str) -> dict[str, Identity]:
        """What each concept keeps in the release with this id, by name, as far as it was measured."""
        query = _measures().add_columns(concepts.c.name).where(releases.c.id == release)
        with self._database.reading() as connection:
            return {row.name: _identity(row) for row in connection.execute(query)}


def _shown_to(viewer: Node) -> Any:
    """Whether a row of concepts is one that the viewer may see."""
    if viewer.role is Role.OWNER:
        return true()
    admitted = concepts.c.state == State.ADMITTED
    return (concepts.c.node_id == viewer.id) | (admitted & ~hides(viewer))


def _found_by(search: Search) -> Any:
    where: Any = true()
    for word in search.text.split():
        where &= _has(word)
    if search.statuses:
        where &= concepts.c.state.in_([STATES[status] for status in search.statuses])
    if search.class_word:
        where &= concepts.c.class_word == search.class_word
    if search.owner:
        where &= nodes.c.name == search.owner
    return where


def _has(word: str) -> Any:
    columns = (concepts.c.name, concepts.c.class_word, nodes.c.name)
    return or_(*(column.icontains(word, autoescape=True) for column in columns))


def _rows() -> Select[Any]:
    return (
        select(concepts, nodes.c.name.label("owner"), sampled.c.scorer, sampled.c.identity)
        .join(nodes, nodes.c.id == concepts.c.node_id)
        .outerjoin(sampled, sampled.c.concept_id == concepts.c.id)
    )


def _counting() -> Select[Any]:
    return select(func.count()).select_from(concepts).join(nodes, nodes.c.id == concepts.c.node_id)


def _cards(connection: Connection, viewer: Node, rows: Sequence[Any]) -> tuple[Card, ...]:
    ids = [row.id for row in rows]
    pictures, named = _pictures(connection, ids), _named(connection, ids)
    identities = _identities(connection, viewer, ids)
    owns = viewer.role is Role.OWNER
    cards = []
    for row in rows:
        mine = row.node_id == viewer.id
        hidden_from_most = row.restricted and (mine or owns)
        before = Identity(row.scorer, row.identity) if row.scorer else None
        cards.append(
            Card(
                mine=mine,
                status=STATUS_OF[State(row.state)],
                visible_to=tuple(named.get(row.id, ())) if hidden_from_most else None,
                pictures=tuple(pictures.get(row.id, ())),
                identity=identities.get(row.id, before),
                **{name: getattr(row, name) for name in ("name", "class_word", "owner", "reason")},
                **{
                    name: getattr(row, name) for name in ("size_bytes", "rank", "sha256", "created")
                },
            )
        )
    return tuple(cards)


def _pictures(connection: Connection, ids: Sequence[int]) -> dict[int, list[Picture]]:
    shown = [column for column in samples.c if column.name not in ("content", "concept_id")]
    query = select(samples.c.concept_id, *shown).where(samples.c.concept_id.in_(ids))
    found: dict[int, list[Picture]] = {}
    for concept, *values in connection.execute(query.order_by(samples.c.number)):
        found.setdefault(concept, []).append(Picture(*values))
    return found


def _named(connection: Connection, ids: Sequence[int]) -> dict[int, list[str]]:
    query = select(viewers).where(viewers.c.concept_id.in_(ids)).order_by(viewers.c.node_name)
    found: dict[int, list[str]] = {}
    for row in connection.execute(query):
        found.setdefault(row.concept_id, []).append(row.node_name)
    return found


def _identities(connection: Connection, viewer: Node, ids: Sequence[int]) -> dict[int, Identity]:
    """In the newest measured release with it that the viewer may have."""
    query = _measures().where(concepts.c.id.in_(ids)).order_by(releases.c.sequence)
    if viewer.role is not Role.OWNER:
        query = query.where(releases.c.id.not_in(_hidden_releases(viewer)))
    return {row.concept_id: _identity(row) for row in connection.execute(query)}


def _measures() -> Select[Any]:
    """Both of one scorer: numbers of two never compare."""
    after = fused_identities.c
    return (
        select(after.concept_id, after.release_id, after.scorer)
        .add_columns(after.identity.label("after"), sampled.c.identity.label("before"))
        .join(releases, releases.c.id == after.release_id)
        .join(concepts, concepts.c.id == after.concept_id)
        .join(sampled, sampled.c.concept_id == after.concept_id)
        .where(sampled.c.scorer == after.scorer)
    )


def _hidden_releases(viewer: Node) -> Any:
    """Ids of those with a concept that the viewer may not have."""
    theirs = select(concepts.c.sha256).where(hides(viewer))
    theirs = theirs.correlate(None)  # what is hidden need not be the concept that is asked for
    return select(release_concepts.c.release_id).where(release_concepts.c.sha256.in_(theirs))


def _identity(row: Any) -> Identity:
    return Identity(row.scorer, row.before, row.after, row.release_id)
