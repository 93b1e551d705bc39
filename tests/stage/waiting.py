"""Free ports, waiting that ends, and threads that do."""

import atexit
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import cycle
from threading import Event, Thread
from typing import TypeVar

PATIENCE_SECONDS = 240  # bounds a hang; a busy machine is no failure
PORTS = 20_000, 30_000  # Ray keeps those from 10,002 to 19,999 for its workers
SHARE = 500
"""Ports of one process: of suites that run at once, none gives one that another gave and nobody took yet."""
T = TypeVar("T")


def free_port() -> int:
    """A port that nobody uses now: none of those that the system gives to connections meanwhile."""
    while True:
        port = next(_own_ports())
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@cache
def _own_ports() -> Iterator[int]:
    """Those of this process, again and again; it holds the first one of its share while it lives."""
    while True:
        first = random.SystemRandom().randrange(*PORTS, SHARE)
        holds = socket.socket()
        try:
            holds.bind(("127.0.0.1", first))
        except OSError:
            holds.close()
            continue
        atexit.register(holds.close)
        return cycle(range(first + 1, first + SHARE))


def eventually(check: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """What `check` returns, once it is true."""
    until = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.2)
    return found


@contextmanager
def in_a_thread(work: Callable[[Event], object]) -> Iterator[Event]:
    """Works in a thread, which ends in the block, when it must by the event that this gives."""
    stop = Event()
    thread = Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield stop
    except BaseException:
        stop.set()
        raise
    finally:
        thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
