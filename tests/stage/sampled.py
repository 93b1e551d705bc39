"""Pictures of concepts, painted instead of drawn by a model, put straight into a server's store."""

import random
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from sqlalchemy import insert, select

from fedshow.toyworld.scenes import draw
from fedshow.toyworld.world import Scene, any_character, wide_character
from fedshow_server.samples.pictures import pictures_of
from fedshow_server.store.tables import concepts, sampled, samples
from tests.stage.server import Server

EDGE, STEPS = 160, 20
SCORER, BEFORE = "toyworld", 0.91


def paint_samples(server: Server, names: Iterable[str], edge: int = EDGE) -> None:
    """All samples of these concepts, enlarged to this edge, which measure BEFORE."""
    store = server.store()
    with store.database.writing() as connection:
        query = select(concepts.c.id, concepts.c.name).where(concepts.c.name.in_(list(names)))
        found = connection.execute(query).all()
        pictures = [
            {"concept_id": one.id, **row} for one in found for row in _painted(one.name, edge)
        ]
        about = {"attempts": 0, "done": True, "scorer": SCORER, "identity": BEFORE, "likeness": b""}
        connection.execute(insert(samples), pictures)
        connection.execute(insert(sampled), [{"concept_id": one.id, **about} for one in found])
    store.close()


def _painted(name: str, edge: int) -> list[dict[str, Any]]:
    """A character of its own at full strength, and any other where the words alone draw."""
    dice = random.Random(name)
    own, other = wide_character(dice), any_character(dice)
    rows = []
    for wanted in pictures_of(name):
        place = "beach" if "beach" in wanted.prompt else "plain"
        scene = Scene(place, (own if wanted.scale else other,))
        kept = wanted.kept(
            draw(scene, random.Random(f"{name} {place}"), EDGE).image.resize((edge, edge)), STEPS
        )
        rows.append({**vars(kept), "sha256": sha256(kept.content).hexdigest()})
    return rows
