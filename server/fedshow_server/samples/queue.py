"""When to draw samples: something is missing, the card is free, and nobody else wants it."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from fedshow_server.children import Child
from fedshow_server.folder import DataFolder
from fedshow_server.samples.current import current_releases
from fedshow_server.samples.scorer import ScorerChoice
from fedshow_server.settings import ServerSettings
from fedshow_server.store import Store

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
NEWS = (
    *("concept.offered", "concept.admitted", "concept.pending", "concept.approved"),
    *("concept.rejected", "concept.refused", "concept.withdrawn", "concept.removed"),
    *("concept.shown", "release.published"),
)
"""What it has to have been quiet of, in the audit log's words: not of who is refused at a door."""
LONGEST_QUIET_SECONDS = 60.0
BEHIND_SECONDS = 3.0
"""What comes is fused first: this much later than a fusion would begin, or after the longest quiet."""

FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 600.0
"""Before what could not be drawn is tried again; the first one after a worker that died."""


class SampleQueue:
    """One worker at a time, which makes room at once for members' drawings and for fusions."""

    def __init__(
        self,
        store: Store,
        folder: DataFolder,
        settings: ServerSettings,
        scorer: ScorerChoice,
        card: asyncio.Lock,
        others_wait: Callable[[], bool],
    ) -> None:
        self._store, self._folder, self._steps = store, folder, settings.sample_steps
        self._quiet = min(settings.quiet_seconds + BEHIND_SECONDS, LONGEST_QUIET_SECONDS)
        self._scorer, self._card, self._others_wait = scorer, card, others_wait
        self._looked = -1
        """How far the audit log went when we looked last."""
        self._seen, self._since = -1, 0.0
        """Its newest entry then about a concept or a release, and since when."""
        self._settled, self._until = -1, 0.0
        """That entry when nothing was left to do, and until when we believe that."""
        self._pause, self._not_before = FIRST_PAUSE_SECONDS, 0.0
        """The next one after a worker that died, and when this one ends."""

    async def sample_forever(self) -> None:
        """Runs until cancelled; without steps it does nothing."""
        self._folder.clear_work("sampling")
        await asyncio.to_thread(self._store.samples.try_again)
        while True:
            if self._steps and await asyncio.to_thread(self._is_due):
                async with self._card:
                    await self._work_unless_others()
            await asyncio.sleep(POLL_SECONDS)

    def _is_due(self) -> bool:
        position, now = self._newest(), time.monotonic()
        if position != self._seen:
            self._seen, self._since = position, now
        if now < self._not_before or (position == self._settled and now < self._until):
            return False
        if now - self._since < self._quiet or self._others_wait():
            return False
        if self._is_something_missing():
            return True
        self._settle(position)
        return False

    def _newest(self) -> int:
        """Position of what happened last to a concept or a release."""
        audit, looked = self._store.audit, self._looked
        self._looked = audit.head().position
        return max(audit.newest(NEWS, looked), self._seen, 0)

    def _is_something_missing(self) -> bool:
        shelf, name = self._store.samples, self._scorer.name
        if shelf.next(name) is not None:
            return True
        return bool(name) and shelf.unmeasured(current_releases(self._store), name) is not None

    def _settle(self, position: int) -> None:
        self._settled, self._until = position, time.monotonic() + LONGEST_PAUSE_SECONDS

    async def _work_unless_others(self) -> None:
        """The worker's whole work, or as much of it as others let it do."""
        position = self._seen
        if await asyncio.to_thread(self._others_wait):
            return
        child = await Child.start(
            "fedshow_server.samples.worker",
            *("--data", str(self._folder.path), "--steps", str(self._steps)),
            *self._scorer.arguments,
            log_path=self._folder.logs / "sampling.log",
        )
        try:
            if await self._has_ended(child):
                self._ended_with(await child.wait(), position)
        finally:
            await asyncio.shield(child.stop())

    def _ended_with(self, status: int, position: int) -> None:
        if not status:
            self._pause = FIRST_PAUSE_SECONDS
            return self._settle(position)
        log.error("the sampling worker ended with %d; see logs/sampling.log", status)
        self._not_before = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        return None

    async def _has_ended(self, child: Child) -> bool:
        """True once it ended by itself, False as soon as somebody else wants the card."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(child.wait(), POLL_SECONDS)
            if not child.running:
                return True
            if await asyncio.to_thread(self._others_wait):
                return False
