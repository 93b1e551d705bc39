"""A node that never gets in is told of; one that got in is not."""

from collections.abc import Iterator
from threading import Event, Thread

import pytest

from fedshow.transfer.servers import KnownServer, save_server
from fedshow_client.daemon import node
from fedshow_client.home import Home
from fedshow_client.status import read_status
from tests.client.conftest import wait_for


class Program:
    """A SuperNode that says what it likes and ends; let in, it touches its pulse and goes on."""

    started = 0
    lets_in = False

    def __init__(self, _entry, _arguments, log, env) -> None:
        Program.started += 1
        log.write_text("starting\nnot let in: the clock is ahead\n\n")
        self._env = env

    def wait(self, _seconds: float) -> int | None:
        if not Program.lets_in:
            return 1
        with open(self._env["FEDSHOW_NODE_PULSE"], "w") as pulse:
            pulse.write("0")
        return None

    def end(self) -> None:
        pass


@pytest.fixture
def kept(known: KnownServer, place: Home, monkeypatch) -> Iterator[Event]:
    """A node that is kept at work until this is set."""
    monkeypatch.setattr(node, "Child", Program)
    monkeypatch.setattr(node, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(node, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(Program, "started", 0)
    monkeypatch.setattr(Program, "lets_in", False)
    save_server(known, place.folder)
    stop = Event()
    thread = Thread(target=node.keep_node, args=(known, place, 60.0, stop))
    thread.start()
    yield stop
    stop.set()
    thread.join(60)


def test_a_node_that_never_gets_in_is_trouble_until_it_does(kept, place, queue) -> None:
    queue.reached("home")

    def trouble() -> str:
        return read_status(place.folder).servers[0].trouble

    wait_for(trouble)
    assert Program.started >= node.TRIES_IN_VAIN
    assert "not let in: the clock is ahead" in trouble()
    assert "fedshow doctor --server home" in trouble()
    queue.reached("home", trouble="home does not answer")
    assert trouble() == "home does not answer"
    queue.reached("home")
    Program.lets_in = True
    wait_for(lambda: not trouble())


def test_trouble_ends_with_the_daemon(kept, place) -> None:
    wait_for(lambda: node.node_trouble(place, "home"))
    kept.set()
    wait_for(lambda: not node.node_trouble(place, "home"))
