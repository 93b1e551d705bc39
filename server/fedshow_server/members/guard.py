"""How often and how much one caller may: rates, calls at once, and what refused ones leave behind."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from fedshow.errors import Exhausted
from fedshow_server import calls
from fedshow_server.settings import ServerSettings
from fedshow_server.store import Audit, Node

NOTED_PER_CALLER = RateLimitItemPerMinute(6, namespace="noted")
NOTED = RateLimitItemPerMinute(60, namespace="noted")
"""Refusals written into the audit log: strangers knock as often as they like."""

SUPERNODES_PER_MINUTE, SUPERNODES_AT_ONCE = 120, 8
"""Flower's calls that any node may make, however little its owner allows: asking, living, handing over."""


class Guard:
    """Stands at every door of one server; what it counts is forgotten when the server ends."""

    def __init__(self, settings: ServerSettings, audit: Audit) -> None:
        self._audit = audit
        self._rates = FixedWindowRateLimiter(MemoryStorage())
        self._joins = RateLimitItemPerMinute(settings.joins_per_minute, namespace="join")
        self._wrong = RateLimitItemPerMinute(settings.wrong_tokens_per_minute, namespace="wrong")
        self._calls = RateLimitItemPerMinute(settings.calls_per_minute, namespace="calls")
        self._at_once = settings.calls_at_once
        fleet = max(settings.calls_per_minute, SUPERNODES_PER_MINUTE)
        self._fleet = RateLimitItemPerMinute(fleet, namespace="fleet")
        self._fleet_at_once = max(settings.calls_at_once, SUPERNODES_AT_ONCE)
        self._open: Counter[tuple[str, int]] = Counter()

    def may_try(self) -> None:
        """Raises Exhausted when the current address showed too much lately that is not valid."""
        address = calls.current().address
        if not self._rates.test(self._wrong, address):
            raise self._too_often(self._wrong, address, "wrong tokens or codes from this address")

    def may_join(self) -> None:
        """Raises Exhausted when the current address tried to join too often lately."""
        self.may_try()
        self._count(self._joins, calls.current().address, "attempts to join from this address")

    async def refused(self, error: Exception) -> None:
        """The current call shows nothing valid: counted, and noted."""
        self._rates.hit(self._wrong, calls.current().address)
        await self.note(error)

    async def note(self, error: Exception) -> None:
        """The current call was not let in: written down if there is room."""
        call = calls.current()
        caller = call.address if call.who == calls.UNKNOWN else call.who
        if self._rates.hit(NOTED_PER_CALLER, caller) and self._rates.hit(NOTED):
            await asyncio.to_thread(self._audit.refused, str(error))

    @contextmanager
    def busy(self, node: Node) -> Iterator[None]:
        """Inside, the node has one more call open. Raises Exhausted when it has too many."""
        with self._one_more(node, self._calls, self._at_once, "calls"):
            yield

    @contextmanager
    def busy_with_flower(self, node: Node) -> Iterator[None]:
        """The same for calls of Flower's, counted apart: they show a key that Flower alone can check."""
        with self._one_more(node, self._fleet, self._fleet_at_once, "Flower's calls"):
            yield

    @contextmanager
    def _one_more(
        self, node: Node, limit: RateLimitItem, at_once: int, what: str
    ) -> Iterator[None]:
        self._count(limit, str(node.id), f"{what} of this node")
        key = (what, node.id)
        if self._open[key] >= at_once:
            raise Exhausted(f"this node has {at_once} {what} open, no more are taken at once")
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1

    def _count(self, limit: RateLimitItem, key: str, what: str) -> None:
        if not self._rates.hit(limit, key):
            raise self._too_often(limit, key, what)

    def _too_often(self, limit: RateLimitItem, key: str, what: str) -> Exhausted:
        seconds = max(1.0, self._rates.get_window_stats(limit, key).reset_time - time.time())
        return Exhausted(
            f"too many {what}: {limit.amount} a minute are taken; try again in {seconds:.0f} s",
            seconds,
        )
