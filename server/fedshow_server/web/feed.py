"""News for pages that are open, as server-sent events: what happened, and word that something changed.

Nothing is kept for anybody: whoever reads slowly finds what it missed in the audit log, and asks again
from where it was.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager

from fedshow.digests import DIGEST
from fedshow.errors import Exhausted
from fedshow_server.activity import Activity, Now
from fedshow_server.services.streams import OpenStreams
from fedshow_server.store import Entry, History, Node

POLL_SECONDS = 1.0
STILL_HERE_SECONDS = 15.0
LONGEST_SECONDS = 300.0
"""Then the page comes back by itself and shows again who it is."""
BACK_MILLISECONDS = 2000
AT_ONCE, BUSY_SECONDS = 4, 30.0
"""Open streams of one node."""
ENTRIES_AT_ONCE, LONGEST = 100, 200


class Feed:
    """Everybody's streams."""

    def __init__(self, activity: Activity, history: History, streams: OpenStreams) -> None:
        self.activity, self.history, self._streams = activity, history, streams
        self._open: Counter[int] = Counter()
        self._stopping = asyncio.Event()

    @contextmanager
    def one_more(self, node: Node) -> Iterator[None]:
        """Inside, the node has one more stream. Raises Exhausted when it has too many."""
        if self._open[node.id] >= AT_ONCE:
            raise Exhausted(
                f"this node has {AT_ONCE} live pages open, no more are taken", BUSY_SECONDS
            )
        self._open[node.id] += 1
        try:
            yield
        finally:
            self._open[node.id] -= 1

    def events(self, node: Node, position: int) -> AsyncIterator[str]:
        """What happens after this position of the log, until the node is revoked or the server stops."""
        return self._streams.until_revoked(node, self._events(node, position))

    async def _events(self, node: Node, position: int) -> AsyncGenerator[str, None]:
        yield f"retry: {BACK_MILLISECONDS}\n\n"
        until, said, seen = time.monotonic() + LONGEST_SECONDS, 0.0, None
        while not self._stopping.is_set() and time.monotonic() < until:
            entries, position, now = await asyncio.to_thread(self._look, node, position)
            words = [_happened(entry) for entry in entries]
            words += ["event: changed\ndata:\n\n"] if now != seen else []
            if not words and time.monotonic() - said >= STILL_HERE_SECONDS:
                words = [": still here\n\n"]
            if words:
                said, seen = time.monotonic(), now
                yield "".join(words)
            if len(entries) < ENTRIES_AT_ONCE:
                await self._pause()

    def _look(self, node: Node, position: int) -> tuple[list[Entry], int, Now]:
        entries, reached = self.history.after(node, position, ENTRIES_AT_ONCE)
        return entries, reached, self.activity.now(node)

    async def _pause(self) -> None:
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((stopping,), timeout=POLL_SECONDS)
        finally:
            stopping.cancel()

    async def stop(self) -> None:
        """Ends all streams."""
        self._stopping.set()


def words_of(entry: Entry) -> dict[str, str]:
    """An entry as pages show it."""
    details = ", ".join(f"{key} {_shown(value)}" for key, value in entry.details.items())
    at = f"{entry.at:%Y-%m-%d %H:%M:%S} UTC"
    words = {"at": at, "who": entry.who, "action": entry.action, "subject": entry.subject}
    return {**words, "details": details}


def _shown(value: object) -> str:
    """Digests by their first digits, as people compare them."""
    text = str(value)
    return f"{text[:12]}…" if DIGEST.fullmatch(text) else text[:LONGEST]


def _happened(entry: Entry) -> str:
    return f"id: {entry.position}\nevent: entry\ndata: {json.dumps(words_of(entry))}\n\n"
