"""A run goes on asking, taking and showing life while somebody's answer takes its time to arrive."""

from threading import Event, Thread
from threading import enumerate as threads
from types import SimpleNamespace

import pytest

from fedshow.wire import CONCEPT, FILE, SAFETENSORS
from fedshow_server.flower import handovers, looks
from fedshow_server.flower.handovers import Handovers
from tests.client.conftest import wait_for
from tests.server.store.making import DAY, offer

RUN = 77


def array(data: bytes, stype: str = SAFETENSORS) -> SimpleNamespace:
    return SimpleNamespace(stype=stype, data=data)


def answer(records: object) -> SimpleNamespace:
    content = SimpleNamespace(array_records=records)
    return SimpleNamespace(content=content, has_error=lambda: False)


class Grid:
    """Flower's, whose look at node 1's answer lasts until all of it has arrived."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.arrived = Event()

    def get_node_ids(self) -> list[int]:
        return [1, 2]

    def push_messages(self, messages) -> list[str]:
        self.asked += messages
        return [f"to {node}" for node in messages]

    def pull_messages(self, message_ids) -> list[SimpleNamespace]:
        if message_ids == ["to 1"]:
            assert self.arrived.wait(60)
        return [answer({CONCEPT: {FILE: array(message_ids[0].encode())}})]


class Admission:
    """Takes anything."""

    def __init__(self, store) -> None:
        self.taken: dict[str, bytes] = {}
        self._store = store

    def take(self, concept, blob) -> str:
        self.taken[concept.name] = blob
        self._store.concepts.admit(concept.sha256)
        return ""


@pytest.fixture
def people(store, monkeypatch):
    monkeypatch.setattr(handovers, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(handovers, "_question", lambda concept, _: concept.flower_id)

    def join(name, number):
        return store.members.join(store.members.invite(name, DAY), f"key {name}", number)[0]

    yield join("anna", 1), join("bob", 2)
    for thread in threads():  # a late answer is taken with the store, which closes after this
        if thread.name.startswith("look-"):
            thread.join(60)


def test_a_slow_upload_holds_nobody_up(store, people):
    anna, bob = people
    grid, admission = Grid(), Admission(store)
    store.concepts.submit(anna.id, offer("big", "1"), 100)
    run = Handovers(grid, RUN, store, admission)
    thread = Thread(target=run.run)
    thread.start()
    wait_for(lambda: grid.asked == [1])
    beat = store.runs.last_beat(RUN)
    store.concepts.submit(bob.id, offer("small", "2"), 100)
    wait_for(lambda: admission.taken == {"small": b"to 2"})
    wait_for(lambda: store.runs.last_beat(RUN) > beat + 1)
    grid.arrived.set()
    thread.join(60)
    assert admission.taken == {"small": b"to 2", "big": b"to 1"}
    assert store.runs.has_ended(RUN)
    assert not run.under_way


@pytest.mark.parametrize(
    "bad",
    [
        answer(None),
        answer({}),
        answer({CONCEPT: {}}),
        answer({CONCEPT: {"other": array(b"x")}}),
        answer({CONCEPT: {FILE: array(b"x"), "other": array(b"y")}}),
        answer({CONCEPT: {FILE: array(b"x", stype="pickle")}}),
        SimpleNamespace(has_error=lambda: True, error=SimpleNamespace(code=404, reason="no")),
    ],
    ids=["unreadable", "empty", "no file", "another", "two files", "pickle", "error"],
)
def test_a_bad_answer_is_not_taken_and_holds_nobody_up(store, people, bad, monkeypatch):
    anna, bob = people
    store.concepts.submit(anna.id, offer("bad", "1"), 100)
    store.concepts.submit(bob.id, offer("small", "2"), 100)
    good = Grid.pull_messages
    monkeypatch.setattr(
        Grid, "pull_messages", lambda grid, ids: [bad] if ids == ["to 1"] else good(grid, ids)
    )
    admission = Admission(store)
    Handovers(Grid(), RUN, store, admission).run()
    assert admission.taken == {"small": b"to 2"}
    assert [one.name for one in store.concepts.wanted()] == ["bad"], "a later run asks again"


def test_an_upload_that_broke_off_ends_the_run_at_its_time(store, people, monkeypatch):
    monkeypatch.setattr(handovers, "_answer_seconds", lambda _: 0.5)
    grid = Grid()
    store.concepts.submit(people[0].id, offer("big", "1"), 100)
    run = Handovers(grid, RUN, store, Admission(store))
    run.run()
    assert store.runs.has_ended(RUN)
    assert run.under_way
    grid.arrived.set()


def test_what_a_look_raises_is_heard_where_the_run_is():
    def fail(message_id):
        raise ConnectionError(message_id)

    found = looks.Looks(fail)
    found.start("a", "anna")
    with pytest.raises(ConnectionError, match="a"):
        wait_for(lambda: list(found.ended()))
    assert not found.under_way
    found.close()


def test_a_node_that_leaves_all_its_uploads_unfinished_holds_nobody_else_up():
    hung = Event()
    found = looks.Looks(lambda message_id: message_id == "bob's" or hung.wait(60))
    for number in range(looks.AT_ONCE + 1):
        found.start(f"anna's {number}", "anna")
    found.start("bob's", "bob")
    wait_for(lambda: list(found.ended()) == [("bob's", True)])
    hung.set()
    seen = []
    wait_for(lambda: seen.extend(found.ended()) or len(seen) == looks.AT_ONCE + 1)
    assert {message_id for message_id, _ in seen} == {
        f"anna's {number}" for number in range(looks.AT_ONCE + 1)
    }
    assert not found.under_way
    found.close()


def test_an_upload_that_broke_off_does_not_hold_the_same_nodes_next_one_up():
    hung = Event()
    found = looks.Looks(lambda message_id: message_id != "broken" or hung.wait(60))
    for message_id in ("broken", "next", "last"):
        found.start(message_id, "anna")
    seen = []
    wait_for(lambda: seen.extend(found.ended()) or len(seen) == 2)
    assert seen == [("next", True), ("last", True)]
    assert found.under_way
    hung.set()
    found.close()
