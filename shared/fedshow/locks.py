"""Locks of open files, which end with whoever holds them, however that ends."""

import fcntl
import time
from typing import IO

TRIES = 10
PAUSE_SECONDS = 0.05


def locked(file: IO[str], *, shared: bool = False) -> bool:
    """Whether the file's lock could be had at once; it is held until the file is closed.

    One that is shared keeps out only those who want it for themselves.
    """
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def claimed(file: IO[str]) -> bool:
    """As `locked`, tried a few times: whoever asks if somebody has it holds it for a moment, shared."""
    for _ in range(TRIES):
        if locked(file):
            return True
        time.sleep(PAUSE_SECONDS)
    return False
