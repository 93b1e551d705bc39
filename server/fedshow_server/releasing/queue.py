"""When to fuse: something is due (see `due`), and it has been quiet.

With nothing admitted there is nothing to fuse; releases with withdrawn concepts are not `latest`.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from fedshow_server.children import run_to_end
from fedshow_server.folder import DataFolder
from fedshow_server.releasing.due import Due, find_due, recorded
from fedshow_server.settings import ServerSettings
from fedshow_server.store import Removal, Store

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 600.0
FRESH = timedelta(seconds=60)
EMPTY = sha256(b"").hexdigest()
"""Stands for what is left of everything: nothing."""

OnFused = Callable[[bool, float], None]
"""Told whether a fusion gave a release, and after how many seconds."""


class FusionQueue:
    """One fusion at a time, in a child process; the database says what is due."""

    def __init__(
        self,
        store: Store,
        folder: DataFolder,
        settings: ServerSettings,
        card: asyncio.Lock,
        on_fused: OnFused = lambda *_: None,
    ) -> None:
        self._store = store
        self._folder = folder
        self._settings = settings
        self._card = card
        self._on_fused = on_fused
        self.problem = ""
        """What is wrong with fusing; empty when nothing is."""
        self.wants_card = False
        """Whether it fuses, or would if the card were free."""
        self._seen, self._due = -1, Due()
        """How far the audit log went when we looked last, and what was due then."""

    @property
    def due(self) -> Due:
        """What was due when we looked last."""
        return self._due

    async def fuse_forever(self) -> None:
        """Runs until cancelled."""
        self._folder.clear_work("fusing")
        failed: Due | None = None
        pause = FIRST_PAUSE_SECONDS
        while True:
            due = await self._next_due()
            self.wants_card = True
            async with self._card:
                started = time.monotonic()
                succeeded = await self._fuse(due)
            self.wants_card = False
            self._on_fused(succeeded, time.monotonic() - started)
            if succeeded:
                await asyncio.to_thread(self._log_release)
                self._seen = -1  # the ledgers changed, which the audit log need not tell
                failed, pause, self.problem = None, FIRST_PAUSE_SECONDS, ""
                continue
            self.problem = "the last fusion failed; see logs/fusing.log"
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS) if due == failed else FIRST_PAUSE_SECONDS
            failed = due
            log.error("fusing failed; again in %.0f s; see logs/fusing.log", pause)
            await self._until_changed(due, pause)

    async def _next_due(self) -> Due:
        """What is due, once it has been the same for long enough."""
        seen, since = Due(), time.monotonic()
        while True:
            due = await asyncio.to_thread(self._look)
            if due != seen:
                seen, since = due, time.monotonic()
            quiet = time.monotonic() - since >= self._settings.quiet_seconds
            if due and quiet and not await asyncio.to_thread(self._expects_more):
                return due
            await asyncio.sleep(POLL_SECONDS)

    def _look(self) -> Due:
        """What is due now; whatever changes it is in the audit log."""
        position = self._store.audit.head().position
        if position != self._seen:
            if not self._store.concepts.admitted():
                self._forget()
            self._due = find_due(self._store, self._folder.ledgers)
            self._seen = position
        return self._due

    def _forget(self) -> None:
        """What was recorded of concepts that are withdrawn now; the worker takes out single ones."""
        if not self._folder.ledgers.exists():
            return
        log.info("nothing is admitted any more: forgetting what was recorded")
        for digest in recorded(self._folder.ledgers).values():
            self._store.concepts.removed(Removal(digest, 0, EMPTY, 0.0, datetime.now(UTC)))
        shutil.rmtree(self._folder.ledgers, ignore_errors=True)

    def _expects_more(self) -> bool:
        """Whether a concept was offered so lately that its file is probably on its way."""
        lately = datetime.now(UTC) - FRESH
        return any(concept.created > lately for concept in self._store.concepts.wanted())

    async def _until_changed(self, due: Due, pause_seconds: float) -> None:
        until = time.monotonic() + pause_seconds
        while time.monotonic() < until:
            if await asyncio.to_thread(self._look) != due:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _fuse(self, due: Due) -> bool:
        for members in due.releases:
            log.info("due: %s", ", ".join(sorted(name for name, _ in members)))
        status = await run_to_end(
            "fedshow_server.releasing.fusing",
            *("--data", str(self._folder.path)),
            *(("--ray", self._settings.ray) if self._settings.ray else ()),
            *(f"--protect={word}" for word in self._settings.protected_words),
            log_path=self._folder.logs / "fusing.log",
        )
        return status == 0

    def _log_release(self) -> None:
        """With the audit log's head, outside of the database: cutting off its end is noticed."""
        if last := self._store.releases.last():
            log.info("release %s is out; audit log %s", last.id, self._store.audit.head())
