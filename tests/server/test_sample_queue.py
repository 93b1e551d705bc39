"""When samples are drawn: when nobody else wants the card."""

import asyncio
from types import SimpleNamespace

import pytest

from fedshow_server.folder import DataFolder
from fedshow_server.samples import queue
from fedshow_server.samples.scorer import ScorerChoice
from fedshow_server.settings import ServerSettings
from tests.releases import standin_manifest
from tests.server.store.making import DAY, LISTING, admitted
from tests.stage.concepts import CARD
from tests.stage.waiting import PATIENCE_SECONDS

SCORER = ScorerChoice("toyworld")


@pytest.fixture
def anna(own_store):
    """Somebody whose concept is to be drawn."""
    node, _ = own_store.members.join(own_store.members.invite("anna", DAY), "key", 7)
    admitted(own_store, node, "potter", "1")
    return node


@pytest.fixture
def busy(monkeypatch):
    """Stands for workers, which never end by themselves."""

    class Busy:
        started = stopped = 0
        running = True

        @classmethod
        async def start(cls, *_, **__):
            cls.started += 1
            return cls()

        async def wait(self):
            await asyncio.sleep(3600)

        async def stop(self):
            Busy.stopped += 1

    monkeypatch.setattr(queue, "Child", Busy)
    monkeypatch.setattr(queue, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(queue, "BEHIND_SECONDS", 0)
    return Busy


async def until(check):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not check():
            await asyncio.sleep(0.01)


def test_samples_wait_for_fusions_and_drawings(busy, own_store, anna, tmp_path):
    folder, waiting, card = DataFolder(tmp_path / "data"), [True], asyncio.Lock()
    folder.make()
    settings = ServerSettings(quiet_seconds=0)
    samples = queue.SampleQueue(own_store, folder, settings, SCORER, card, lambda: waiting[0])

    async def play():
        task = asyncio.create_task(samples.sample_forever())
        await asyncio.sleep(0.3)
        assert busy.started == 0, "others go first"
        waiting[0] = False
        await until(lambda: busy.started == 1)
        assert card.locked()
        waiting[0] = True
        await until(lambda: busy.stopped == 1 and not card.locked())
        assert busy.started == 1
        waiting[0] = False
        await until(lambda: busy.started == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert busy.stopped == 2

    asyncio.run(play())
    assert anna


def test_samples_do_not_wait_for_boxes_that_knock_in_vain(own_store, anna, tmp_path, monkeypatch):
    """They knock for ever; what happens to concepts and releases is waited for."""
    now = [1000.0]
    monkeypatch.setattr(queue, "time", SimpleNamespace(monotonic=lambda: now[0]))
    settings = ServerSettings(quiet_seconds=5)
    samples = queue.SampleQueue(
        own_store, DataFolder(tmp_path), settings, SCORER, asyncio.Lock(), lambda: False
    )

    def seconds_until_due():
        for second in range(60):
            own_store.audit.happened("door.refused", "ListReleases", reason="cut off")
            if samples._is_due():
                return second
            now[0] += 1
        return None

    assert seconds_until_due() == 8
    assert seconds_until_due() == 0
    own_store.concepts.show("potter", anna.id, frozenset({"bob"}))
    assert seconds_until_due() == 8
    own_store.releases.publish(standin_manifest({}, {"potter": "0" * 64}, CARD.ref), LISTING)
    assert seconds_until_due() == 8


@pytest.mark.parametrize("steps", [0, 2])
def test_a_server_need_not_draw_samples(busy, own_store, anna, tmp_path, steps):
    folder = DataFolder(tmp_path / "data")
    folder.make()
    settings = ServerSettings(quiet_seconds=0, sample_steps=steps)
    samples = queue.SampleQueue(own_store, folder, settings, SCORER, asyncio.Lock(), lambda: False)

    async def play():
        task = asyncio.create_task(samples.sample_forever())
        if steps:
            await until(lambda: busy.started)
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(play())
    assert busy.started == (1 if steps else 0)
    assert anna
