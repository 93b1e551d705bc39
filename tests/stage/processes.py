"""Processes as they are seen from outside."""

import signal
from contextlib import suppress

import psutil


def children(pid: int, mark: str) -> list[int]:
    """Direct children of `pid` whose command line has this mark."""
    with suppress(psutil.NoSuchProcess):  # the parent is gone
        return [child.pid for child in psutil.Process(pid).children() if _has(child, mark)]
    return []


def _has(process: psutil.Process, mark: str) -> bool:
    """False also when it ends just now: a short-lived sibling must not hide the others."""
    with suppress(psutil.Error):
        return mark in " ".join(process.cmdline())
    return False


def hear_interrupts() -> None:
    """For `preexec_fn`: background jobs of a shell, and so tests that run in one, are born deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
