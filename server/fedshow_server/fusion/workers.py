"""Who does what takes time, recording and solving: this process, or a Ray cluster."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from typing import Protocol, TypeVar

import torch

from fedshow.concepts import ConceptFile
from fedshow.families import Base, open_base
from fedshow.saying import Say
from fedshow_server.fusion.layout import Layout
from fedshow_server.fusion.placing import settle
from fedshow_server.fusion.recording import Plan, record_concept, record_generic
from fedshow_server.fusion.rules import FUSIONS
from fedshow_server.fusion.statistics import Seen, Statistics
from fedshow_server.fusion.sums import Layer
from fedshow_server.fusion.update import Update, smallest

Subject = ConceptFile | str
"""What is drawn: a concept, or the base alone with a class word ('': without any)."""

Recorded = Statistics | Seen
"""What comes of it: of a concept all that a fusion needs, of the base what it read."""

Job = TypeVar("Job")
Handle = TypeVar("Handle")
Found = TypeVar("Found")


class Workers(Protocol):
    """Both calls give results in order, and ask for the next thing when they can begin with it."""

    device: torch.device
    """Where `solve` wants its layers."""

    def record(self, subjects: Iterable[Subject], plan: Plan) -> Iterator[tuple[Subject, Recorded]]:
        """What is read while each subject is drawn."""
        ...

    def solve(self, method: str, layers: Iterable[Layer]) -> Iterator[tuple[Layer, Update]]:
        """What a rule makes of each layer."""
        ...


class Here:
    """This process: it records one thing at a time, and solves as many inputs at once as it has threads."""

    def __init__(self, base: Base, found: Layout | None = None) -> None:
        self._base, self._layout = base, found
        on_host = found is not None and found.on_host
        self.device = torch.device("cpu") if on_host else base.device

    def record(self, subjects: Iterable[Subject], plan: Plan) -> Iterator[tuple[Subject, Recorded]]:
        """Draws one subject after another."""
        for subject in subjects:
            yield subject, record_subject(self._base, subject, fitted(plan, self._layout))

    def solve(self, method: str, layers: Iterable[Layer]) -> Iterator[tuple[Layer, Update]]:
        """Layers of one input go together, for they share the decomposition of its moments."""
        threads = torch.get_num_threads()
        _load_linalg(self.device)
        with _pool(threads) as pool:
            begun = (
                (group, pool.submit(solve_layers, method, group)) for group in by_input(layers)
            )
            for group, updates in in_order(begun, threads, Future.result):
                yield from zip(group, updates, strict=True)


def _load_linalg(device: torch.device) -> None:
    """One tiny decomposition, for a card loads its library then, which threads must not ask for at once."""
    torch.linalg.qr(torch.eye(2, device=device))  # https://github.com/pytorch/pytorch/issues/90613


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that compute with one core each: decompositions do not get faster by more."""
    with ThreadPoolExecutor(threads, "solver", torch.set_num_threads, (1,)) as pool:
        try:
            yield pool
        finally:
            torch.set_num_threads(threads)  # the pool has set it for threads that come later


def by_input(layers: Iterable[Layer]) -> Iterator[list[Layer]]:
    """Neighbouring layers that read the same."""
    return (list(group) for _, group in groupby(layers, key=lambda layer: layer.input_name))


def in_order(
    begun: Iterable[tuple[Job, Handle]], most: int, result: Callable[[Handle], Found]
) -> Iterator[tuple[Job, Found]]:
    """Results in the order of `begun`, of which at most so many are under way."""
    waiting: deque[tuple[Job, Handle]] = deque()
    for each in begun:
        waiting.append(each)
        if len(waiting) >= most:
            job, handle = waiting.popleft()
            yield job, result(handle)
    while waiting:
        job, handle = waiting.popleft()
        yield job, result(handle)


@contextmanager
def workers_at(
    ray: str | None, base_name: str, base: Base, say: Say, found: Layout | None = None
) -> Iterator[Workers]:
    """Those on the Ray cluster at this address; without one, this process, with the base laid out so.

    Raises InvalidInput and Unreachable as `connected` does.
    """
    if ray is None:
        yield Here(base, found)
        return
    from fedshow_server.fusion.ray_cluster import connected

    with connected(ray):
        from fedshow_server.fusion.ray_workers import RayWorkers

        say(f"connected to the Ray cluster {ray}")
        yield RayWorkers(base_name, base.card.sha256, say)


def open_to_record(
    base: str, device: str, say: Say = lambda _line: None
) -> tuple[Base, Layout | None]:
    """The base as it is recorded from, and how it is laid out on a card, which `say` is told.

    Raises InvalidInput and Unreachable as `open_base` does, and InvalidInput for a card that is too small.
    """
    opened = open_base(base)
    return opened, settle(opened, device, say)


def fitted(plan: Plan, found: Layout | None) -> Plan:
    """The same recording, with as much at once as there is memory for."""
    if found is None:
        return plan
    return replace(plan, at_once=found.pictures, on_host=found.on_host)


def record_subject(base: Base, subject: Subject, plan: Plan) -> Recorded:
    """What is read while the subject is drawn. Raises UnfusableConcept."""
    if isinstance(subject, str):
        return record_generic(base, subject, plan)
    return record_concept(base, subject, plan)


def solve_layers(method: str, layers: Iterable[Layer]) -> list[Update]:
    """What a rule makes of each layer."""
    return [solve_layer(method, layer) for layer in layers]


def solve_layer(method: str, layer: Layer) -> Update:
    """What a rule makes of one layer, in the form that is smaller."""
    solution = FUSIONS[method](layer)
    return smallest(solution.delta_OI, layer.parts(moments=False), solution.settings)
