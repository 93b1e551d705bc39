"""Word of the latest release for everybody who waits for another one."""

import asyncio

from fedshow.errors import Unreachable
from fedshow_server.store import Release, Store

POLL_SECONDS = 0.5


class News:
    """Watches the database, where the fusion worker publishes and owners withdraw."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = asyncio.Condition()
        self._latest: Release | None = None
        self._known = False
        self._stopping = False

    async def watch_forever(self) -> None:
        """Runs until cancelled."""
        while True:
            latest = await asyncio.to_thread(self._store.releases.latest)
            if not self._known or latest != self._latest:
                async with self._changed:
                    self._latest, self._known = latest, True
                    self._changed.notify_all()
            await asyncio.sleep(POLL_SECONDS)

    async def other_than(self, release: str | None) -> Release | None:
        """The latest release, once it is not the one with that id; None when there is none now.

        Raises Unreachable when the server stops.
        """

        def is_other() -> bool:
            if self._stopping:
                raise Unreachable("the server stops: watch again")
            return self._known and (self._latest.id if self._latest else None) != release

        async with self._changed:
            await self._changed.wait_for(is_other)
            return self._latest

    async def stop(self) -> None:
        """Sends everybody away who waits."""
        async with self._changed:
            self._stopping = True
            self._changed.notify_all()
