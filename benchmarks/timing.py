"""Seconds of work on a card or a processor."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch


def seconds(run: Callable[[], object]) -> float:
    """Seconds of one run, the card's work included."""
    wait()
    started = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - started


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Median seconds of a run, after two that do not count."""
    return median([seconds(run) for _ in range(repeats + 2)][2:])


def wait() -> None:
    """Until the card has done all that it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_megabytes() -> float:
    """The most memory this process has held so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(line for line in lines if line.startswith("VmHWM")).split()[1]
    return int(kilobytes) / 1024


def card_gigabytes() -> float:
    """The most memory that tensors have held on the card since the last reset."""
    return torch.cuda.max_memory_allocated() / 2**30
