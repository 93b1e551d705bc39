"""When to fuse: the admitted concepts differ from the last release, and it has been quiet.

With nothing admitted there is nothing to fuse; releases with withdrawn concepts are not `latest`.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from fedshow_server.children import Child
from fedshow_server.folder import DataFolder
from fedshow_server.store import Store

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 600.0
FRESH = timedelta(seconds=60)

OnFused = Callable[[bool, float], None]
"""Told whether a fusion gave a release, and after how many seconds."""
Members = frozenset[tuple[str, str]]
"""Name and digest of each concept."""


class FusionQueue:
    """One fusion at a time, in a child process; the database says what is due."""

    def __init__(
        self,
        store: Store,
        folder: DataFolder,
        quiet_seconds: float,
        ray: str | None = None,
        on_fused: OnFused = lambda *_: None,
    ) -> None:
        self._store = store
        self._folder = folder
        self._quiet_seconds = quiet_seconds
        self._ray = ray
        self._on_fused = on_fused
        self.problem = ""
        """What is wrong with fusing; empty when nothing is."""

    async def fuse_forever(self) -> None:
        """Runs until cancelled."""
        self._clear_leftovers()
        failed: Members | None = None
        pause = FIRST_PAUSE_SECONDS
        while True:
            due = await self._next_due()
            started = time.monotonic()
            succeeded = await self._fuse(due)
            self._on_fused(succeeded, time.monotonic() - started)
            if succeeded:
                await asyncio.to_thread(self._log_release)
                failed, pause, self.problem = None, FIRST_PAUSE_SECONDS, ""
                continue
            self.problem = "the last fusion failed; see logs/fusing.log"
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS) if due == failed else FIRST_PAUSE_SECONDS
            failed = due
            log.error("fusing failed; again in %.0f s; see logs/fusing.log", pause)
            await self._until_changed(due, pause)

    async def _next_due(self) -> Members:
        """The members of the next release, once they have been the same for long enough."""
        seen: Members = frozenset()
        since = time.monotonic()
        while True:
            admitted, released = await asyncio.to_thread(self._members)
            if not admitted:
                await asyncio.to_thread(self._forget)
            if admitted != seen:
                seen, since = admitted, time.monotonic()
            due = admitted and admitted != released
            quiet = time.monotonic() - since >= self._quiet_seconds
            if due and quiet and not await asyncio.to_thread(self._expects_more):
                return admitted
            await asyncio.sleep(POLL_SECONDS)

    def _members(self) -> tuple[Members, Members]:
        last = self._store.releases.last()
        released = frozenset(last.concepts.items()) if last else frozenset()
        admitted = self._store.concepts.admitted()
        return frozenset((concept.name, concept.sha256) for concept in admitted), released

    def _forget(self) -> None:
        """What was recorded of concepts that are withdrawn now; the next fusion removes single ones."""
        if self._folder.ledgers.exists():
            log.info("nothing is admitted any more: forgetting what was recorded")
            shutil.rmtree(self._folder.ledgers, ignore_errors=True)

    def _expects_more(self) -> bool:
        """Whether a concept was offered so lately that its file is probably on its way."""
        lately = datetime.now(UTC) - FRESH
        return any(concept.created > lately for concept in self._store.concepts.wanted())

    async def _until_changed(self, due: Members, pause_seconds: float) -> None:
        until = time.monotonic() + pause_seconds
        while time.monotonic() < until:
            if (await asyncio.to_thread(self._members))[0] != due:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _fuse(self, due: Members) -> bool:
        log.info("fusing %s", ", ".join(sorted(name for name, _ in due)))
        child = await Child.start(
            "fedshow_server.fusing",
            *("--data", str(self._folder.path)),
            *(("--ray", self._ray) if self._ray else ()),
            log_path=self._folder.logs / "fusing.log",
        )
        try:
            status = await child.wait()
        finally:
            await asyncio.shield(child.stop())
        return status == 0

    def _log_release(self) -> None:
        """With the audit log's head, outside of the database: cutting off its end is noticed."""
        if last := self._store.releases.last():
            log.info("release %s is out; audit log %s", last.id, self._store.audit.head())

    def _clear_leftovers(self) -> None:
        """Work of workers that were killed; nobody else uses this folder."""
        for folder in self._folder.work.glob("fusing-*"):
            shutil.rmtree(folder, ignore_errors=True)
