"""The queue of drawings, on every database."""

from datetime import UTC, datetime, timedelta

import pytest

from fedshow.errors import Exhausted, NotFound
from fedshow_server.store import DrawingState
from tests.server.store.making import LISTING, manifest


@pytest.fixture
def release(store, tools):
    published = manifest(tools.card, "potter")
    store.releases.publish(published, LISTING)
    return published.release


def queue(store, node, release, at_once=4):
    return store.drawings.add(node, release, '{"prompt": "x"}', 2, at_once)


def state(store, node, drawing):
    return store.drawings.get(node, drawing.id).state


def test_first_come_first_drawn(store, anna, bob, release):
    drawings = [queue(store, node, release) for node in (anna, bob, anna)]
    assert [store.drawings.ahead(drawing) for drawing in drawings] == [0, 1, 2]
    assert store.drawings.waiting()
    claimed = [store.drawings.claim() for _ in range(4)]
    assert [one and one.id for one in claimed] == [*(drawing.id for drawing in drawings), None]
    assert not store.drawings.waiting()
    store.drawings.finish(drawings[0].id)
    assert state(store, anna, drawings[0]) is DrawingState.DONE
    assert [store.drawings.ahead(drawing) for drawing in drawings[1:]] == [0, 1]


def test_nobody_sees_those_of_others(store, anna, bob, release):
    drawing = queue(store, anna, release)
    assert [one.id for one in store.drawings.of(anna)] == [drawing.id]
    assert store.drawings.of(bob) == []
    for ask in (store.drawings.get, store.drawings.cancel):
        with pytest.raises(NotFound, match="no such drawing"):
            ask(bob, drawing.id)


def test_a_node_has_so_many_at_once(store, anna, bob, release):
    first = queue(store, anna, release, at_once=2)
    queue(store, anna, release, at_once=2)
    with pytest.raises(Exhausted, match="2 drawings of yours are not finished, limit 2"):
        queue(store, anna, release, at_once=2)
    queue(store, bob, release, at_once=2)
    store.drawings.fail(first.id, "no")
    queue(store, anna, release, at_once=2)


def test_progress_is_told_until_it_is_cancelled(store, anna, release):
    drawing = queue(store, anna, release)
    assert not store.drawings.progress(drawing.id, 1, 20), "nobody draws it yet"
    store.drawings.claim()
    assert store.drawings.progress(drawing.id, 1, 20)
    found = store.drawings.get(anna, drawing.id)
    assert (found.state, found.done_steps, found.all_steps) == ("drawing", 1, 20)
    assert store.drawings.cancel(anna, drawing.id).state is DrawingState.CANCELLED
    assert not store.drawings.progress(drawing.id, 2, 20)
    store.drawings.finish(drawing.id)
    assert state(store, anna, drawing) is DrawingState.CANCELLED, "what ended stays so"


def test_what_was_cancelled_in_time_is_not_drawn(store, anna, release):
    drawing = queue(store, anna, release)
    store.drawings.cancel(anna, drawing.id)
    assert store.drawings.claim() is None


def test_a_worker_that_dies_has_another_try(store, anna, release):
    drawing = queue(store, anna, release)
    store.drawings.claim()
    store.drawings.progress(drawing.id, 3, 20)
    store.drawings.give_back()
    found = store.drawings.get(anna, drawing.id)
    assert (found.state, found.done_steps) == ("queued", 0)
    store.drawings.claim()
    store.drawings.give_back()
    found = store.drawings.get(anna, drawing.id)
    assert (found.state, found.reason) == (
        "failed",
        "the server's worker ended 2 times while it drew this",
    )


def test_what_ended_long_ago_is_forgotten(store, anna, release):
    drawings = [queue(store, anna, release) for _ in range(2)]
    store.drawings.cancel(anna, drawings[0].id)
    now = datetime.now(UTC)
    assert store.drawings.forget(now - timedelta(minutes=1)) == []
    assert store.drawings.forget(now + timedelta(minutes=1)) == [drawings[0].id]
    assert [one.id for one in store.drawings.of(anna)] == [drawings[1].id]
