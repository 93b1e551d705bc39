"""Data-parallel training over a few processes of one thread each.

On small CPUs two such processes do half as much again as one process of two threads.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed
from torch import Tensor
from torch.multiprocessing.spawn import spawn

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Rank:
    """The place of this process among its siblings."""

    number: int
    count: int

    @property
    def first(self) -> bool:
        """Whether this process writes logs and checkpoints."""
        return self.number == 0


def run_parallel(
    train: Callable[[Settings, Rank], None], settings: Settings, processes: int
) -> None:
    """Call `train(settings, rank)` in each of `processes` processes and wait for all of them."""
    # Waiting OpenMP threads must sleep: beside another job, spinning ones are ten times slower.
    os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE", KMP_BLOCKTIME="0")
    if processes == 1:
        train(settings, Rank(0, 1))
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments = (train, settings, processes, f"file://{folder}/meeting")
        spawn(_join, arguments, nprocs=processes)  # type: ignore[no-untyped-call]


def _join(
    number: int,
    train: Callable[[Settings, Rank], None],
    settings: Settings,
    processes: int,
    meeting: str,
) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=meeting, rank=number, world_size=processes
    )
    train(settings, Rank(number, processes))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def average_gradients(parameters: Iterable[Tensor], rank: Rank) -> None:
    """Replace each gradient by its mean over the processes, in one all-reduce."""
    if rank.count == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    torch.distributed.all_reduce(flat)
    flat /= rank.count
    parts = torch.split(flat, [g.numel() for g in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def agree(value: float, rank: Rank) -> float:
    """The first process's value, in every process."""
    if rank.count == 1:
        return value
    shared = torch.tensor([value], dtype=torch.float64)
    torch.distributed.broadcast(shared, src=0)
    return float(shared)
