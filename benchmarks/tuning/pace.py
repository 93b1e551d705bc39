"""Steps per second of our trainer against the plain loop, on toyworld on the CPU.

Each loop lives in a process of its own; they take turns block by block, so that both meet the same
machine, and the ratio is taken within each pair of blocks.
"""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Any

WARMUP, PAIRS, BLOCK = 6, 10, 10


@dataclass(frozen=True)
class Block:
    """Some steps in a row: seconds by the clock and of the processor for each, and their losses."""

    wall: list[float]
    cpu: list[float]
    losses: list[float]


class Racer:
    """One loop in its own process."""

    def __init__(self, loop: str, folder: Path, captions: bool, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(theirs, loop, folder, captions, threads)
        )
        self.process.start()

    def run(self, steps: int) -> Block:
        """The next `steps` steps, while everybody else waits."""
        self.connection.send(steps)
        return self.connection.recv()  # type: ignore[no-any-return]

    def finish(self) -> float:
        """Ends the process; its peak memory in megabytes."""
        self.connection.send(0)
        megabytes: float = self.connection.recv()
        self.process.join()
        return megabytes


def _serve(connection: Connection, loop: str, folder: Path, captions: bool, threads: int) -> None:
    import torch

    from benchmarks.tuning.loops import LOOPS

    torch.set_num_threads(threads)
    step, done = LOOPS[loop](folder, captions), 0
    while steps := connection.recv():
        connection.send(_timed(step, range(done, done + steps)))
        done += steps
    connection.send(_peak_megabytes())


def _timed(step: Any, numbers: range) -> Block:
    block = Block([], [], [])
    for number in numbers:
        wall, cpu = time.perf_counter(), time.process_time()
        block.losses.append(step(number))
        block.wall.append(time.perf_counter() - wall)
        block.cpu.append(time.process_time() - cpu)
    return block


def _peak_megabytes() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(line for line in lines if line.startswith("VmHWM")).split()[1]
    return int(kilobytes) / 1024


@contextmanager
def _racers(folder: Path, captions: bool, threads: int) -> Iterator[tuple[Racer, Racer]]:
    pair = Racer("ours", folder, captions, threads), Racer("plain", folder, captions, threads)
    try:
        yield pair
    finally:
        for racer in pair:
            racer.process.join(timeout=1)
            racer.process.kill()


def race(folder: Path, captions: bool, threads: int, pairs: int = PAIRS) -> dict[str, Any]:
    """Ratio plain / ours of time for a step, with its spread; losses and memory of both."""
    with _racers(folder, captions, threads) as (ours, plain):
        blocks: list[tuple[Block, Block]] = []
        for racer in (ours, plain):
            racer.run(WARMUP)
        for number in range(pairs):
            first, second = (ours, plain) if number % 2 else (plain, ours)
            found = {id(racer): racer.run(BLOCK) for racer in (first, second)}
            blocks.append((found[id(ours)], found[id(plain)]))
        memory = {"ours": ours.finish(), "plain": plain.finish()}
    return _summary(blocks) | {"peak_megabytes": memory}


def _summary(blocks: list[tuple[Block, Block]]) -> dict[str, Any]:
    wall = [median(plain.wall) / median(ours.wall) for ours, plain in blocks]
    cpu = [median(plain.cpu) / median(ours.cpu) for ours, plain in blocks]
    losses = [[loss for pair in blocks for loss in pair[side].losses] for side in (0, 1)]
    half = len(losses[0]) // 2
    return {
        "ratio": median(wall),
        "ratio_quartiles": _quartiles(wall),
        "ratio_processor": median(cpu),
        "ratio_processor_quartiles": _quartiles(cpu),
        "milliseconds": {
            name: 1000 * median(time for pair in blocks for time in pair[side].wall)
            for side, name in enumerate(("ours", "plain"))
        },
        "loss_first_and_second_half": {
            name: [fmean(losses[side][:half]), fmean(losses[side][half:])]
            for side, name in enumerate(("ours", "plain"))
        },
        "raw": {"wall": wall, "processor": cpu},
    }


def _quartiles(values: list[float]) -> list[float]:
    return [values[0]] * 2 if len(values) < 2 else quantiles(values, n=4)[::2]


def all_races(folder: Path) -> dict[str, dict[str, Any]]:
    """Pictures with masks, without captions as most people have them and with; one and two threads."""
    return {
        f"{'captions' if captions else 'no_captions'}_{threads}_thread": race(
            folder, captions, threads
        )
        for threads in (1, 2)
        for captions in (False, True)
    }
