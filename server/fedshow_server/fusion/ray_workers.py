"""Recording and solving on a Ray cluster, whose machines have the same fedshow and can open the same base.

Actors hold the base and record; tasks solve. Concept files, adapters and moments go over, nothing else.
"""

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError
from torch import Tensor

from fedshow import __version__
from fedshow.device import threads
from fedshow.errors import BaseMismatch, FedshowError, InvalidInput, first_line
from fedshow.families import Base
from fedshow.families.locating import anywhere
from fedshow.saying import Say
from fedshow_server.fusion.layout import Layout
from fedshow_server.fusion.ledger.tensors import packed, unpacked
from fedshow_server.fusion.recording import Plan
from fedshow_server.fusion.rules import NEEDS_OWN_INPUTS
from fedshow_server.fusion.statistics import Seen
from fedshow_server.fusion.sums import Layer, Part
from fedshow_server.fusion.update import Update
from fedshow_server.fusion.workers import (
    Recorded,
    Subject,
    by_input,
    fitted,
    in_order,
    open_to_record,
    record_subject,
    solve_layer,
    solve_layers,
)

RETRIES = 2
"""How often a job begins anew because the process that had it died."""

MOST_INPUTS = 16
"""Inputs whose layers may be under way: bounds the memory of this process."""


class RayWorkers:
    """The cluster that `connected` has made the current one."""

    device = torch.device("cpu")

    def __init__(self, base: str, base_sha256: str, say: Say) -> None:
        self._base, self._base_sha256, self._say = anywhere(base), base_sha256, say

    def record(self, subjects: Iterable[Subject], plan: Plan) -> Iterator[tuple[Subject, Recorded]]:
        """Each subject goes to the next of as many actors as there are cards, or cores."""
        resources = ray.cluster_resources()
        cards = int(resources.get("GPU", 0))
        slots = max(1, cards or int(resources.get("CPU", 1)))
        settings = {"num_cpus": 1, "num_gpus": 1 if cards else 0, "max_restarts": RETRIES}
        # Restarts bound the tries: until a busy head says that one died, asking the dead again is none.
        remote = ray.remote(Recorder).options(**settings, max_task_retries=-1)
        base = (self._base, self._base_sha256, "cuda" if cards else "cpu")
        recorders: list[Any] = []

        def begin() -> Iterator[tuple[Subject, Any]]:
            for number, subject in enumerate(subjects):
                if number < slots:
                    recorders.append(remote.remote(*base, __version__))
                yield subject, recorders[number % slots].record.remote(ray.put(subject), plan)

        try:
            for subject, (where, found) in in_order(begin(), 2 * slots, _result):
                self._say(f"recorded {_name(subject)} on {where}")
                yield subject, _mapped(unpacked, found)
        finally:
            for recorder in recorders:
                ray.kill(recorder)  # solving needs their cores

    def solve(self, method: str, layers: Iterable[Layer]) -> Iterator[tuple[Layer, Update]]:
        """Layers of one input go together, for they share the decomposition of its moments."""
        if method in NEEDS_OWN_INPUTS:
            return ((layer, solve_layer(method, layer)) for layer in layers)
        task = ray.remote(solve_portable).options(num_cpus=1, max_retries=RETRIES)
        begun = (
            (group, task.remote(method, ray.put(list(map(portable, group))), __version__))
            for group in by_input(layers)
        )
        solved = in_order(begun, MOST_INPUTS, _result)
        return chain.from_iterable(zip(group, updates, strict=True) for group, updates in solved)


def _name(subject: Subject) -> str:
    if isinstance(subject, str):
        return f"the base on {subject or 'generic prompts'}"
    return f"<{subject.header.name}>"


def _result(reference: Any) -> Any:
    """What the job gave; raises what it raised, and FedshowError when no worker lived to finish it."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, FedshowError):
            raise error.cause from None
        what = f"{type(error.cause).__name__}: {error.cause}"
        raise FedshowError(f"a Ray worker failed: {what}") from error
    except RayError as error:
        raise FedshowError(f"Ray gave up after {RETRIES} retries: {first_line(error)}") from error


class Recorder:
    """On a worker: the base, opened once."""

    def __init__(self, base: str, base_sha256: str, device: str, version: str) -> None:
        self._name, self._sha256, self._device, self._version = base, base_sha256, device, version

    def record(self, subject: Subject, plan: Plan) -> tuple[str, Recorded]:
        """Where it was recorded, and what; of the moments their triangles, rounded as ledgers do."""
        _prepare(self._version)
        base, found = self._opened
        return _here(), _mapped(_rounded, record_subject(base, subject, fitted(plan, found)))

    @cached_property
    def _opened(self) -> tuple[Base, Layout | None]:
        """Raises BaseMismatch for another base of that name."""
        base, found = open_to_record(self._name, self._device)
        if base.card.sha256 != self._sha256:
            raise BaseMismatch(
                f"base {self._name!r} is {base.card.sha256[:12]} on {_here()}, "
                f"where the fusion was started it is {self._sha256[:12]}"
            )
        return base, found


def solve_portable(method: str, layers: list[Layer], version: str) -> list[Update]:
    """On a worker: what a rule makes of the layers of one input."""
    _prepare(version)
    return solve_layers(method, layers)


def _prepare(version: str) -> None:
    """Takes one core, or as many as told. Raises InvalidInput for another fedshow than the caller's."""
    torch.set_num_threads(threads(1))
    if version != __version__:
        raise InvalidInput(f"fedshow is {__version__} on {_here()}, must be {version}")


def _here() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass(frozen=True)
class Adapters:
    """The parts of a layer in memory, without what it reads."""

    parts: tuple[Part, ...]

    def __call__(self, moments: bool = True) -> Iterator[Part]:
        """As `Parts`."""
        assert not moments, "moments of single concepts stay where the ledger is"
        return iter(self.parts)


def portable(layer: Layer) -> Layer:
    """The layer without ties to the ledger's files."""
    parts = Adapters(tuple(layer.parts(moments=False)))
    return replace(layer, parts=parts, turned=layer.turned and portable(layer.turned))


def _rounded(moment_II: Tensor) -> Tensor:
    return packed(moment_II.float()).cpu()


def _mapped(change: Callable[[Tensor], Tensor], found: Recorded) -> Recorded:
    """The same with every moment changed."""
    seen = found if isinstance(found, Seen) else found.seen
    fit, heldout = (
        {name: change(moment) for name, moment in moments.items()}
        for moments in (seen.fit, seen.heldout)
    )
    changed = Seen(fit, heldout, seen.given)
    return changed if isinstance(found, Seen) else replace(found, seen=changed)
