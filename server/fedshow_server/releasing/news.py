"""Word of the latest release for everybody who waits for another one."""

import asyncio

from fedshow.errors import Unreachable
from fedshow_server.store import Node, Release, Store

POLL_SECONDS = 0.5
TELLING = ("release.published", "concept.withdrawn", "concept.removed", "concept.shown")
"""What may give somebody another latest release, in the audit log's words."""


class News:
    """Watches the database, where the fusion worker publishes and owners withdraw."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = asyncio.Condition()
        self._moment = -1
        """Position of the newest telling entry; whoever waits looks for itself when it moves."""
        self._stopping = False

    async def watch_forever(self) -> None:
        """Runs until cancelled."""
        while True:
            moment = await asyncio.to_thread(self._store.audit.newest, TELLING)
            if moment != self._moment:
                async with self._changed:
                    self._moment = moment
                    self._changed.notify_all()
            await asyncio.sleep(POLL_SECONDS)

    async def other_than(self, release: str | None, node: Node) -> Release | None:
        """The node's latest release, once it is not the one with that id; None when it has none now.

        Raises Unreachable when the server stops.
        """
        shelf = self._store.releases.seen_by(node)
        while not self._stopping:
            moment = self._moment
            latest = await asyncio.to_thread(shelf.latest)
            if (latest.id if latest else None) != release:
                return latest
            await self._after(moment)
        raise Unreachable("the server stops: watch again")

    async def _after(self, moment: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._stopping or self._moment != moment)

    async def stop(self) -> None:
        """Sends everybody away who waits."""
        async with self._changed:
            self._stopping = True
            self._changed.notify_all()
