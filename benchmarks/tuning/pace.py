"""Steps per second of our trainer against the plain loop.

Each loop lives in a process of its own; they take turns block by block, so that both meet the same
machine, and the ratio is taken within each pair of blocks.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Any

from benchmarks.timing import peak_megabytes
from benchmarks.tuning import loops
from benchmarks.tuning.loops import Step

WARMUP, PAIRS, BLOCK = 6, 30, 4
NAMES = ("ours", "plain")


@dataclass(frozen=True)
class Block:
    """Some steps in a row: seconds by the clock and of the processor for each, and their losses."""

    wall: list[float]
    cpu: list[float]
    losses: list[float]


class Racer:
    """One loop in its own process."""

    def __init__(self, make: Callable[[], Step], threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, make, threads))
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


def _serve(connection: Connection, make: Callable[[], Step], threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    step, done = make(), 0
    while steps := connection.recv():
        connection.send(_timed(step, range(done, done + steps)))
        done += steps
    on_card = torch.cuda.is_available() and torch.cuda.max_memory_reserved() / 2**20
    connection.send(on_card or peak_megabytes())


def _timed(step: Step, numbers: range) -> Block:
    block = Block([], [], [])
    for number in numbers:
        wall, cpu = time.perf_counter(), time.process_time()
        block.losses.append(step(number))
        block.wall.append(time.perf_counter() - wall)
        block.cpu.append(time.process_time() - cpu)
    return block


Pair = tuple[Racer, Racer]


@contextmanager
def _racers(ours: Callable[[], Step], plain: Callable[[], Step], threads: int) -> Iterator[Pair]:
    pair = Racer(ours, threads), Racer(plain, threads)
    try:
        yield pair
    finally:
        for racer in pair:
            racer.process.join(timeout=1)
            racer.process.kill()


def race(
    ours: Callable[[], Step],
    plain: Callable[[], Step],
    threads: int,
    pairs: int = PAIRS,
    block: int = BLOCK,
) -> dict[str, Any]:
    """Ratio plain / ours of time for a step, with its spread; losses and memory of both.

    `ours` and `plain` make the steps, each in its process, so both must be picklable.
    """
    with _racers(ours, plain, threads) as racers:
        blocks: list[tuple[Block, Block]] = []
        for racer in racers:
            racer.run(WARMUP)
        for number in range(pairs):
            order = racers if number % 2 else racers[::-1]
            found = {racer: racer.run(block) for racer in order}
            blocks.append((found[racers[0]], found[racers[1]]))
        memory = {name: racer.finish() for name, racer in zip(NAMES, racers, strict=True)}
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
            for side, name in enumerate(NAMES)
        },
        "loss_first_and_second_half": {
            name: [fmean(losses[side][:half]), fmean(losses[side][half:])]
            for side, name in enumerate(NAMES)
        },
        "raw": {"wall": wall, "processor": cpu},
    }


def _quartiles(values: list[float]) -> list[float]:
    return [values[0]] * 2 if len(values) < 2 else quantiles(values, n=4)[::2]


SETTINGS = {
    "no_captions_1_thread": (False, 1),
    "captions_1_thread": (True, 1),
    "no_captions_2_threads": (False, 2),
}
"""Whether pictures have captions beside their masks (most people's have none), and threads."""


def all_races(folder: Path) -> dict[str, dict[str, Any]]:
    """On toyworld on the CPU, in every setting."""
    # Two threads that wait actively are ten times slower beside any other job.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    found = {}
    for name, (captions, threads) in SETTINGS.items():
        makers = partial(loops.ours, folder, captions), partial(loops.plain, folder, captions)
        found[name] = race(*makers, threads)
        low, high = found[name]["ratio_quartiles"]
        print(f"{name:<24} {found[name]['ratio']:.2f} x ({low:.2f} to {high:.2f})", flush=True)
    return found
