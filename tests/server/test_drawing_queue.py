"""How long a worker stays for drawings, and how long they are kept."""

import asyncio
from types import SimpleNamespace

import pytest

from fedshow_server.drawing import queue, worker
from fedshow_server.folder import DataFolder
from fedshow_server.settings import ServerSettings
from tests.server.store.making import DAY, LISTING, manifest
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
    settings = ServerSettings(drawings_kept_hours=1e-9)
    queue.DrawingQueue(own_store, folder, settings, asyncio.Lock())._forget()
    assert [path.name for path in folder.drawings.iterdir()] == [new]
