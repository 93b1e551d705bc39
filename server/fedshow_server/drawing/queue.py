"""When to draw: something is queued, and the card is free."""

import asyncio
import logging
import shutil
import time
from datetime import UTC, datetime, timedelta

from fedshow_server.children import run_to_end
from fedshow_server.folder import DataFolder
from fedshow_server.settings import ServerSettings
from fedshow_server.store import Store

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0
PAUSE_SECONDS = 10.0
FORGET_EVERY_SECONDS = 600.0


class DrawingQueue:
    """One worker at a time, which shares the card with fusions; the database says what is queued."""

    def __init__(
        self, store: Store, folder: DataFolder, settings: ServerSettings, card: asyncio.Lock
    ) -> None:
        self._store, self._folder, self._settings, self._card = store, folder, settings, card
        self._called = asyncio.Event()
        self._forgot = 0.0

    def wake(self) -> None:
        """Something was queued just now."""
        self._called.set()

    async def draw_forever(self) -> None:
        """Runs until cancelled."""
        self._folder.clear_work("drawing")
        await asyncio.to_thread(self._store.drawings.give_back)
        while True:
            await asyncio.to_thread(self._forget)
            if await asyncio.to_thread(self._store.drawings.waiting):
                async with self._card:
                    status = await self._work()
                await asyncio.to_thread(self._store.drawings.give_back)
                if status:
                    log.error("the drawing worker ended with %d; see logs/drawing.log", status)
                    await asyncio.sleep(PAUSE_SECONDS)
                continue
            self._called.clear()
            try:
                await asyncio.wait_for(self._called.wait(), POLL_SECONDS)
            except TimeoutError:
                continue

    async def _work(self) -> int:
        return await run_to_end(
            "fedshow_server.drawing.worker",
            *("--data", str(self._folder.path)),
            *("--pixels", str(self._settings.drawing_pixels)),
            log_path=self._folder.logs / "drawing.log",
        )

    def _forget(self) -> None:
        """Pictures that were kept long enough."""
        if time.monotonic() - self._forgot < FORGET_EVERY_SECONDS and self._forgot:
            return
        self._forgot = time.monotonic()
        kept = timedelta(hours=self._settings.drawings_kept_hours)
        for drawing in self._store.drawings.forget(datetime.now(UTC) - kept):
            shutil.rmtree(self._folder.drawings / drawing, ignore_errors=True)
