"""Runs that hang or cannot be started do not end collecting: Flower's SuperLink is begun anew."""

import asyncio
from types import SimpleNamespace

import pytest

from fedshow.errors import Unreachable
from fedshow_server.flower import collecting
from fedshow_server.flower.collecting import Collector
from fedshow_server.flower.presence import Presence

RUN = 7


class Link:
    """A SuperLink whose runs begin, or do not."""

    generation = 1

    def __init__(self, starts: bool = True) -> None:
        self.starts = starts
        self.told: list[str] = []

    async def start_run(self, _folder: str) -> int:
        if not self.starts:
            raise Unreachable("no")
        return RUN

    def restart_because(self, reason: str) -> None:
        self.told.append(reason)


@pytest.fixture
def collect(own_store, monkeypatch):
    """A function that lets a link collect once."""
    monkeypatch.setattr(collecting, "POLL_SECONDS", 0.01)

    def once(link: Link, times: int = 1) -> list[str]:
        collector = Collector(own_store, link, Presence())

        async def play() -> None:
            for _ in range(times):
                await collector._collect()

        asyncio.run(play())
        return link.told

    return once


@pytest.mark.parametrize("beats", [False, True])
def test_a_run_that_shows_no_life_is_given_up(collect, own_store, monkeypatch, beats):
    now = [1_000_000.0]
    clock = SimpleNamespace(time=lambda: now[0])
    monkeypatch.setattr(collecting, "time", clock)
    if beats:
        own_store.runs.beat(RUN)
        now[0] = own_store.runs.last_beat(RUN)
    limit = collecting.BEAT_SECONDS if beats else collecting.FIRST_BEAT_SECONDS
    waited = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        now[0] += limit / 10

    monkeypatch.setattr(collecting.asyncio, "sleep", sleep)
    assert collect(Link()) == [f"run {RUN} shows no life"]
    assert len(waited) == 10, "it has the time that it is allowed"


def test_a_run_that_ends_is_not_given_up(collect, own_store):
    own_store.runs.beat(RUN)
    own_store.runs.end(RUN)
    assert collect(Link()) == []


def test_a_superlink_that_starts_no_runs_is_begun_anew_the_second_time(collect):
    assert collect(Link(starts=False)) == []
    assert collect(Link(starts=False), times=2) == ["it starts no runs"]
    assert collect(Link(starts=False), times=3) == ["it starts no runs"]
