"""Who does what takes time, recording and solving: this process, or a Ray cluster."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from fedshow.concepts import ConceptFile
from fedshow.families import Base, open_base
from fedshow.families.opening import narrow
from fedshow_server.fusion.recording import Plan, record_concept, record_generic
from fedshow_server.fusion.rules import FUSIONS
from fedshow_server.fusion.statistics import Seen, Statistics
from fedshow_server.fusion.sums import Layer
from fedshow_server.fusion.update import Update, smallest

Subject = ConceptFile | str
"""What is drawn: a concept, or the base alone with a class word ('': without any)."""

Recorded = Statistics | Seen
"""What comes of it: of a concept all that a fusion needs, of the base what it read."""


class Workers(Protocol):
    """Both calls give results in order, and ask for the next thing when they can begin with it."""

    def record(self, subjects: Iterable[Subject], plan: Plan) -> Iterator[tuple[Subject, Recorded]]:
        """What is read while each subject is drawn."""
        ...

    def solve(self, method: str, layers: Iterable[Layer]) -> Iterator[tuple[Layer, Update]]:
        """What a rule makes of each layer."""
        ...


class Here:
    """This process: one thing at a time."""

    def __init__(self, base: Base) -> None:
        self._base = base

    def record(self, subjects: Iterable[Subject], plan: Plan) -> Iterator[tuple[Subject, Recorded]]:
        """Draws one subject after another."""
        for subject in subjects:
            yield subject, record_subject(self._base, subject, plan)

    def solve(self, method: str, layers: Iterable[Layer]) -> Iterator[tuple[Layer, Update]]:
        """Solves one layer after another."""
        for layer in layers:
            yield layer, solve_layer(method, layer)


@contextmanager
def workers_at(
    ray: str | None, base_name: str, base: Base, say: Callable[[str], None]
) -> Iterator[Workers]:
    """Those on the Ray cluster at this address; without one, this process.

    Raises InvalidInput and Unreachable as `connected` does.
    """
    if ray is None:
        yield Here(base)
        return
    from fedshow_server.ray_cluster import connected

    with connected(ray):
        from fedshow_server.fusion.ray_workers import RayWorkers

        say(f"connected to the Ray cluster {ray}")
        yield RayWorkers(base_name, base.card.sha256, say)


def open_to_record(base: str, device: str) -> Base:
    """The base as it is recorded from: on a card in bfloat16, several times faster than in float32.

    Raises InvalidInput and Unreachable as `open_base` does.
    """
    opened = open_base(base, device)
    if opened.device.type == "cuda":
        narrow(opened)
    return opened


def record_subject(base: Base, subject: Subject, plan: Plan) -> Recorded:
    """What is read while the subject is drawn. Raises UnfusableConcept."""
    if isinstance(subject, str):
        return record_generic(base, subject, plan)
    return record_concept(base, subject, plan)


def solve_layer(method: str, layer: Layer) -> Update:
    """What a rule makes of one layer, in the form that is smaller."""
    solution = FUSIONS[method](layer)
    return smallest(solution.delta_OI, layer.parts(moments=False), solution.settings)
