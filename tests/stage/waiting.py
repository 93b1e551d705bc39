"""Free ports, and waiting that ends."""

import socket
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 240  # bounds a hang; a busy machine is no failure
T = TypeVar("T")


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(check: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """What `check` returns, once it is true."""
    until = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.2)
    return found
