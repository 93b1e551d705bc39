"""Seconds of work on a card or a processor."""

import time
from collections.abc import Callable
from statistics import median

import torch


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Median seconds of a run, the card's work included."""
    found = []
    for _ in range(repeats + 2):
        _wait()
        started = time.perf_counter()
        run()
        _wait()
        found.append(time.perf_counter() - started)
    return median(found[2:])


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
