"""When to collect: starts short Flower runs while concepts are wanted, one at a time."""

import asyncio
import logging
import time
from contextlib import suppress

from fedshow.bundle import FOLDER
from fedshow.errors import Unreachable
from fedshow_server.flower.presence import Presence
from fedshow_server.flower.superlink import SuperLink
from fedshow_server.store import Store

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0
FIRST_BEAT_SECONDS = 180.0
FAILED_STARTS_ALLOWED = 1
BEAT_SECONDS = 240.0
"""A living run beats every second or two; taking in a large file may hold it up for longer."""


class Collector:
    """Sees to it that what nodes offer is collected, however often a run dies."""

    def __init__(self, store: Store, superlink: SuperLink, presence: Presence) -> None:
        self._store = store
        self._superlink = superlink
        self._presence = presence
        self._news = asyncio.Event()
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._failed_starts = 0

    def wake(self) -> None:
        """Something was submitted: do not wait longer."""
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._news.set()

    async def collect_forever(self) -> None:
        """Runs until cancelled."""
        while True:
            await self._superlink.healthy.wait()
            before = await self._wanted()
            if before:
                await self._collect()
            if before and before == await self._wanted():
                await self._rest()
            else:
                self._pause_seconds = FIRST_PAUSE_SECONDS
                await asyncio.sleep(POLL_SECONDS)

    async def _wanted(self) -> set[str]:
        """Digests of the concepts that can be had now."""
        wanted = await asyncio.to_thread(self._store.concepts.wanted)
        is_present = self._presence.is_present
        return {concept.sha256 for concept in wanted if is_present(concept.node_id)}

    async def _rest(self) -> None:
        """Pauses longer each time that a run changed nothing, until something is submitted."""
        pause = self._pause_seconds
        self._pause_seconds = min(pause * 2, LONGEST_PAUSE_SECONDS)
        self._news.clear()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._news.wait(), pause)

    async def _collect(self) -> None:
        """One run, followed to its end."""
        generation = self._superlink.generation
        try:
            run = await self._superlink.start_run(FOLDER)
        except Unreachable as error:
            log.warning("no run could be started: %s", error)
            self._failed_starts += 1
            if self._failed_starts > FAILED_STARTS_ALLOWED:
                self._failed_starts = 0
                self._superlink.restart_because("it starts no runs")
            return
        self._failed_starts = 0
        log.info("collecting in run %d", run)
        started = time.time()
        while not await asyncio.to_thread(self._store.runs.has_ended, run):
            if self._superlink.generation != generation:
                log.warning("run %d was lost with its SuperLink", run)
                return
            if not await self._lives(run, started):
                self._superlink.restart_because(f"run {run} shows no life")
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _lives(self, run: int, started: float) -> bool:
        last = await asyncio.to_thread(self._store.runs.last_beat, run)
        if last is None:
            return time.time() - started < FIRST_BEAT_SECONDS
        return time.time() - last < BEAT_SECONDS
