"""Waiting for the other side: growing delays with chance in them, so that a crowd spreads out."""

import random
import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import TypeVar

from fedshow.errors import Unreachable

T = TypeVar("T")
OnWait = Callable[[Unreachable, float], None]
"""Told before each pause: why, and for how many seconds."""

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 15.0


def delays(first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> Iterator[float]:
    """Seconds to wait before each further try, without end: doubling up to `longest`, ±25 %."""
    delay = first
    while True:
        yield delay * random.uniform(0.75, 1.25)
        delay = min(longest, delay * 2)


class Patience:
    """Pauses between tries until `limit_seconds` have passed without any progress."""

    def __init__(
        self,
        limit_seconds: float | None,
        on_wait: OnWait | None = None,
        stop: Event | None = None,
    ) -> None:
        self.limit_seconds = limit_seconds
        self._on_wait = on_wait
        self._stop = stop or Event()
        self.progressed()

    def progressed(self) -> None:
        """Starts counting anew: the other side answered."""
        self._since = time.monotonic()
        self._delays = delays()

    def wait(self, error: Unreachable) -> None:
        """Pauses; raises `error` instead when patience is at its end or somebody said stop."""
        waited = time.monotonic() - self._since
        delay = next(self._delays)
        if self.limit_seconds is not None:
            if waited >= self.limit_seconds:
                raise Unreachable(f"{error} (waited {waited:.0f} s)").then(
                    error.next_step
                ) from error
            delay = min(delay, max(0.05, self.limit_seconds - waited))
        if self._on_wait:
            self._on_wait(error, delay)
        if self._stop.wait(delay):
            raise error


def patiently(call: Callable[[], T], patience: Patience) -> T:
    """What `call` returns, tried again as long as it raises Unreachable and patience lasts."""
    while True:
        try:
            return call()
        except Unreachable as error:
            patience.wait(error)
