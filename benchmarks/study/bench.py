"""Where the study works, with what, and how much of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from benchmarks.ledger import Key, Ledger, work_off
from benchmarks.study.material import Material
from benchmarks.study.ways import left_out
from fedshow.edlora.methods import METHODS
from fedshow.families import Base, open_base
from fedshow.families.placing import settle
from fedshow.files import digest
from fedshow_server.fusion.recording import Plan

Task = tuple[Key, Callable[..., dict[str, Any]], tuple[Any, ...]]
Sets = Mapping[int, Sequence[tuple[str, ...]]]
PARTS_SET = 4
"""Concepts at most in the sets that show what each part of ED-LoRA is worth in a fusion."""


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    names: tuple[str, ...]
    """Concepts that are tuned by ED-LoRA and LoRA."""

    subset: tuple[str, ...]
    """Those for the other methods, and for ED-LoRA's parts."""

    sets: Sets
    """What is fused."""

    rules: tuple[str, ...]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Changes to the recipes of all tunings."""

    plan: Plan = field(default_factory=Plan)
    """How richly fusions record."""

    layouts: int = 24
    drawing_steps: int = 20
    drift: bool = True
    """Whether to measure how far fusions move the base; that takes a hundred pictures each."""

    release: str = "gradient"
    """Rule by which the concepts that regions show are fused."""

    prompts: int = 20
    """Of each concept, spread over the types."""

    each: int = 1
    """Pictures of each prompt; what is read of them is averaged."""

    @property
    def part_sets(self) -> list[tuple[str, ...]]:
        """The subset in sets of concepts of all groups."""
        number = -(-len(self.subset) // PARTS_SET)
        return [self.subset[k::number] for k in range(number)]


@dataclass(frozen=True)
class Bench:
    """Folder of raw results, device, processes, extent, and what is taught."""

    work: Path
    device: str
    workers: int
    extent: Extent
    material: Material

    @property
    def base(self) -> Base:
        """The base on the device, opened once in a process."""
        return _base(self.material.base, self.device)

    @property
    def methods(self) -> tuple[str, ...]:
        """Those of the shipped ones that the base can take."""
        others = left_out(self.base)
        return tuple(name for name in METHODS if name not in others)

    def do(self, tasks: Sequence[Task], files: Sequence[Path] = ()) -> list[dict[str, Any]]:
        """Results in the order of the tasks; what is known, and whose file is still that one, is not redone.

        Tasks that write a file say its `sha256`.
        """
        ledger = Ledger(self.work / "runs.jsonl")
        for task, file in zip(tasks, files, strict=False):
            known = ledger.get(task[0])
            if known and not (file.is_file() and digest(file) == known["sha256"]):
                ledger.forget(task[0])
        work_off(ledger, tasks, self.workers, start_worker)
        return [ledger.get(task[0]) or {} for task in tasks]


@cache
def _base(name: str, device: str) -> Base:
    base = open_base(name)
    settle(base, device)
    return base


def named(value: object) -> str:
    """A name that changes with all that the value says."""
    return sha256(repr(value).encode()).hexdigest()[:16]


def start_worker() -> None:
    """One thread for each process."""
    torch.set_num_threads(1)
