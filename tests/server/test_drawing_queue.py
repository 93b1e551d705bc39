"""How long a worker stays for drawings, and how long they are kept."""

import asyncio
from types import SimpleNamespace

import pytest

from fedshow.sampling.document import RecipeDocument
from fedshow_server.drawing import queue, worker
from fedshow_server.folder import DataFolder
from fedshow_server.settings import ServerSettings
from tests.server.store.making import DAY, LISTING, admitted, manifest
from tests.stage.concepts import CARD


@pytest.fixture
def clock(monkeypatch):
    """The worker's, which moves when it sleeps."""
    now = [0.0]
    moves = SimpleNamespace(
        monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds)
    )
    monkeypatch.setattr(worker, "time", moves)
    return moves


def test_the_worker_keeps_a_release_for_whoever_comes_next(own_store, tmp_path, clock):
    worker.Painter(own_store, DataFolder(tmp_path), 1, tmp_path).work()
    assert clock.monotonic() == pytest.approx(worker.IDLE_SECONDS, abs=worker.TOLD_SECONDS)


def test_a_busy_worker_makes_room_after_its_turn(own_store, tmp_path, clock, monkeypatch):
    monkeypatch.setattr(own_store.drawings, "claim", lambda: "drawing")
    painter = worker.Painter(own_store, DataFolder(tmp_path), 1, tmp_path)
    monkeypatch.setattr(painter, "_make", lambda _: clock.sleep(50))
    painter.work()
    assert worker.TURN_SECONDS <= clock.monotonic() <= worker.TURN_SECONDS + 50


def test_old_drawings_leave_the_disk(own_store, tmp_path):
    node, _ = own_store.members.join(own_store.members.invite("anna", DAY), "key", 7)
    published = manifest(CARD, "potter")
    own_store.releases.publish(published, LISTING)
    folder = DataFolder(tmp_path / "data")
    folder.make()
    old, new = (own_store.drawings.add(node, published.release, "{}", 1, 4).id for _ in range(2))
    for drawing in (old, new):
        (folder.drawings / drawing).mkdir(parents=True)
    own_store.drawings.cancel(node, old)
    sweep(own_store, folder, drawings_kept_hours=1e-9)
    assert [path.name for path in folder.drawings.iterdir()] == [new]


def sweep(store, folder, **settings):
    drawings = queue.DrawingQueue(store, folder, ServerSettings(**settings), asyncio.Lock())
    drawings._forget()


@pytest.fixture
def anna(own_store):
    """A node whose concept is in a release with another."""
    node, _ = own_store.members.join(own_store.members.invite("anna", DAY), "key", 7)
    for name in ("potter", "potter-two"):
        admitted(own_store, node, name, name)
    return node


def test_drawings_of_a_withdrawn_concept_leave_the_disk(own_store, anna, tmp_path):
    published = manifest(CARD, "potter", "potter-two")
    own_store.releases.publish(published, LISTING)
    folder = DataFolder(tmp_path / "data")
    folder.make()
    prompts = ("a <Potter>", "a <potter2>", "a <potter-two>", "nobody")
    recipes = [RecipeDocument(prompt=prompt).model_dump_json() for prompt in prompts]
    made = [own_store.drawings.add(anna, published.release, recipe, 1, 9).id for recipe in recipes]
    waiting = own_store.drawings.add(anna, published.release, recipes[0], 1, 9).id
    for drawing in (*made, waiting):
        (folder.drawings / drawing).mkdir(parents=True)
    for drawing in made:
        own_store.drawings.finish(drawing)
    sweep(own_store, folder)
    assert len(list(folder.drawings.iterdir())) == 5
    own_store.concepts.withdraw("potter")
    sweep(own_store, folder)
    left = {path.name for path in folder.drawings.iterdir()}
    assert left == {*made[2:], waiting} == {one.id for one in own_store.drawings.of(anna)}


def test_what_was_withdrawn_or_hidden_meanwhile_is_not_drawn(
    own_store, anna, tmp_path, monkeypatch
):
    published = manifest(CARD, "potter", "potter-two")
    own_store.releases.publish(published, LISTING)
    bob, _ = own_store.members.join(own_store.members.invite("bob", DAY), "another key", 8)
    recipe = RecipeDocument(prompt="a <potter>").model_dump_json()
    painter = worker.Painter(own_store, DataFolder(tmp_path), 1, tmp_path)
    monkeypatch.setattr(painter, "_open", lambda _: pytest.fail("it was opened"))

    def reason(node):
        drawing = own_store.drawings.add(node, published.release, recipe, 1, 9).id
        painter._make(own_store.drawings.claim())
        return own_store.drawings.get(node, drawing).reason

    own_store.concepts.show("potter-two", anna.id, frozenset())
    assert reason(bob) == f"no release {published.release}"
    own_store.concepts.withdraw("potter")
    assert reason(anna) == "<potter> was withdrawn: nothing is drawn with it any more"
