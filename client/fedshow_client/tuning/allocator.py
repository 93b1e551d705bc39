"""How this process asks the system for memory."""

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`."""

KEPT = 128 << 20
LARGE = 32 << 20
"""Larger pieces go back at once, as ever; glibc allows no higher limit."""


def keep_freed_memory() -> None:
    """Up to `KEPT` freed bytes stay with the process, for the next step, where malloc is glibc's.

    By default it returns what a step frees and gets it back page by page, which takes a tenth of a small
    step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(TRIM_THRESHOLD, KEPT)
        mallopt(MMAP_THRESHOLD, LARGE)
