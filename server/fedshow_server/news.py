"""Word of new releases for everybody who waits for one."""

import asyncio

from fedshow_server.store import Store

POLL_SECONDS = 0.5


class News:
    """Watches the database, where the fusion worker publishes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = asyncio.Condition()
        self.sequence = 0
        """Number of the latest release; 0 before the first."""

    async def watch_forever(self) -> None:
        """Runs until cancelled."""
        while True:
            latest = await asyncio.to_thread(self._store.releases.latest)
            if latest is not None and latest.sequence > self.sequence:
                async with self._changed:
                    self.sequence = latest.sequence
                    self._changed.notify_all()
            await asyncio.sleep(POLL_SECONDS)

    async def later_than(self, sequence: int) -> int:
        """The latest release's number, once it is higher than that one."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.sequence > sequence)
            return self.sequence
