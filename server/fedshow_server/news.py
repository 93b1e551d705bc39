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
            newest = await asyncio.to_thread(self._store.releases.newest)
            if newest is not None and newest.sequence > self.sequence:
                async with self._changed:
                    self.sequence = newest.sequence
                    self._changed.notify_all()
            await asyncio.sleep(POLL_SECONDS)

    async def later_than(self, sequence: int) -> None:
        """Returns when there is a release after that number."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.sequence > sequence)
