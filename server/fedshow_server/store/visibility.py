"""Which concepts a node may have, and so which releases: those of which it may have every concept."""

from typing import Any

from sqlalchemy import exists

from fedshow_server.store.members import Node
from fedshow_server.store.tables import concepts, release_concepts, releases, viewers

Viewer = Node | None
"""A node; None for somebody who may have only what everybody may."""


def hides(viewer: Viewer) -> Any:
    """Whether a row of concepts is one that the viewer may not have."""
    restricted = concepts.c.restricted
    if viewer is None:
        return restricted
    named = exists().where(
        viewers.c.concept_id == concepts.c.id, viewers.c.node_name == viewer.name
    )
    return restricted & (concepts.c.node_id != viewer.id) & ~named


def shows_release(viewer: Viewer) -> Any:
    """Whether a row of releases is one that the viewer may have."""
    return ~exists().where(
        release_concepts.c.release_id == releases.c.id,
        concepts.c.sha256 == release_concepts.c.sha256,
        hides(viewer),
    )
