"""The daemon's threads: none waits for another, and none dies of another's trouble."""

import itertools
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from fedshow.errors import FedshowError
from fedshow.roles import Role
from fedshow.transfer.servers import KnownServer, save_server
from fedshow_client.daemon import link, service
from fedshow_client.daemon.link import ServerLink
from fedshow_client.daemon.service import Daemon
from fedshow_client.home import Home
from fedshow_client.queue import JobState, NewJob, Queue
from fedshow_client.settings import load_settings
from fedshow_client.status import read_status
from tests.client.conftest import wait_for
from tests.stage.waiting import PATIENCE_SECONDS


@pytest.fixture(autouse=True)
def _no_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower's programs play no part here."""
    monkeypatch.setattr(link, "keep_node", lambda *arguments: arguments[-1].wait())


@contextmanager
def running_daemon() -> Iterator[Daemon]:
    daemon = Daemon(load_settings(poll_seconds=0.1))
    thread = Thread(target=daemon.run)
    thread.start()
    try:
        yield daemon
    finally:
        daemon.stop.set()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


class EndlessTuner:
    """Its first job lasts as long as the daemon."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def tune_next(self, _: object, stop: Event) -> None:
        stop.wait()


def join_as(name: str, known: KnownServer, home: Path) -> Path:
    """Another joined server; gives its folder."""
    server = known.model_copy(update={"name": name})
    save_server(server, home)
    return server.folder(home)


def test_a_server_joined_while_something_is_tuned_is_served(
    known: KnownServer, home: Path, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "Tuner", EndlessTuner)
    with running_daemon():
        wait_for(lambda: "home" in queue.servers_seen())
        join_as("later", known, home)
        wait_for(lambda: "later" in queue.servers_seen())


def test_a_server_that_is_no_longer_joined_is_let_go(
    known: KnownServer, home: Path, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    close = ServerLink.close

    def close_and_tell(one: ServerLink) -> None:
        close(one)
        closed.append(one.server.name)

    monkeypatch.setattr(ServerLink, "close", close_and_tell)
    with running_daemon():
        wait_for(lambda: "home" in queue.servers_seen())
        (known.folder(home) / "server.json").unlink()
        wait_for(lambda: closed == ["home"])


def test_what_a_withdrawn_job_left_is_swept_and_other_work_stays(
    known: KnownServer, queue: Queue, place: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "Tuner", EndlessTuner)
    jobs = [queue.add(NewJob("home", name, "man", Path("/p"), "toyworld")) for name in "ab"]
    for job in jobs:
        place.job(job.id).path.mkdir(parents=True)
    queue.move(jobs[0].id, JobState.WITHDRAWN)
    with running_daemon():
        wait_for(lambda: not place.job(jobs[0].id).path.exists())
    assert place.job(jobs[1].id).path.exists()


def test_private_latents_of_finished_jobs_are_swept_after_a_crash(
    known: KnownServer, queue: Queue, place: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "Tuner", EndlessTuner)
    left = {}
    for state in JobState:
        job = queue.add(NewJob("home", state.value, "man", Path("/p"), "toyworld"))
        queue.move(job.id, state)
        left[state] = place.job(job.id).work / "latents.safetensors"
        left[state].parent.mkdir(parents=True)
        left[state].touch()
    with running_daemon():
        wait_for(lambda: "home" in queue.servers_seen())
    stay = {state for state, file in left.items() if file.exists()}
    assert stay == {JobState.QUEUED, JobState.FAILED}, "these may go on from their checkpoints"


def test_a_damaged_record_does_not_end_the_daemon(
    known: KnownServer, home: Path, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    with running_daemon():
        folder = home / "servers" / "broken"
        folder.mkdir()
        (folder / "server.json").write_text("{")
        wait_for(lambda: "unreadable" in caplog.text)
        join_as("broken", known, home)
        wait_for(lambda: "broken" in queue.servers_seen())


def test_a_downloader_watches_and_nothing_else(
    known: KnownServer, home: Path, place: Home, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = []

    class AskedTuner(EndlessTuner):
        def tune_next(self, servers: Collection[str], stop: Event) -> None:
            asked.append(set(servers))
            stop.wait(0.01)

    monkeypatch.setattr(service, "Tuner", AskedTuner)
    save_server(known.model_copy(update={"role": Role.DOWNLOADER, "node_id": None}), home)
    queue.add(NewJob("home", "potter", "man", Path("/p"), "toyworld"))  # from a better time
    with running_daemon():
        wait_for(lambda: "home" in queue.servers_seen() and len(asked) > 1)
        threads = {thread.name for thread in threading.enumerate()}
        assert "_watcher-home" in threads
        assert not {"_node-home", "_courier-home"} & threads
    assert asked[-1] == set()
    found = read_status(home)
    assert found.servers[0].role is Role.DOWNLOADER
    assert "waits until server 'home' is joined again" in found.concepts[0].reason


def test_a_downloader_sees_that_its_server_answers_again_with_the_release_that_it_had(
    host, known, place, queue
) -> None:
    host.publish({"a": b"one"})
    downloader = known.model_copy(update={"role": Role.DOWNLOADER})
    with linked(downloader, place, queue):
        wait_for(lambda: "home" in queue.servers_seen())
        first = queue.servers_seen()["home"].reached
        wait_for(lambda: queue.servers_seen()["home"].reached > first)  # the next stream
        host.stop()
        wait_for(lambda: queue.servers_seen()["home"].trouble)
        host.start()
        wait_for(lambda: not queue.servers_seen()["home"].trouble)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pauses that links make: 1, 2, 3 … milliseconds after failures in a row."""
    made: list[int] = []

    def delays() -> Iterator[float]:
        for number in itertools.count(1):
            made.append(number)
            yield number / 1000

    monkeypatch.setattr(link, "delays", delays)
    monkeypatch.setattr(link, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(link, "watch_releases", lambda _, stop, **__: iter(stop.wait, True))
    return made


@contextmanager
def linked(known: KnownServer, place: Home, queue: Queue) -> Iterator[None]:
    opened = ServerLink(known, place, queue, load_settings())
    try:
        yield
    finally:
        opened.close()


def scripted(*results: object) -> Callable[..., bool]:
    """A `reconcile` that fails with the errors among `results`, in this order; then it works."""
    left = iter(results)

    def reconcile(*_: object) -> bool:
        if isinstance(result := next(left, None), Exception):
            raise result
        return False

    return reconcile


def test_success_makes_the_next_failure_a_first_one(
    known, place, queue, pauses, monkeypatch
) -> None:
    down = FedshowError("down")
    monkeypatch.setattr(link, "reconcile", scripted(down, down, down, None, down))
    with linked(known, place, queue):
        wait_for(lambda: len(pauses) >= 4)
    assert pauses[:4] == [1, 2, 3, 1]


def test_trouble_that_cannot_be_written_down_ends_no_thread(
    known, place, queue, pauses, monkeypatch
) -> None:
    reached = queue.reached

    def full_disk(server: str, trouble: str = "") -> None:
        if trouble:
            raise OSError("database or disk is full")
        reached(server)

    monkeypatch.setattr(queue, "reached", full_disk)
    monkeypatch.setattr(link, "reconcile", scripted(FedshowError("down")))
    with linked(known, place, queue):
        wait_for(lambda: "home" in queue.servers_seen())
