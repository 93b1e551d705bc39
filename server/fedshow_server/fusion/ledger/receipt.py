"""Proof of a removal."""

from collections.abc import Callable, Iterable

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from fedshow.concepts.header import Sha256
from fedshow_server.fusion.sums import Layer

Solve = Callable[[Layer], Tensor]
"""A fusion rule's update `[O, I]` of one layer."""


class Receipt(BaseModel):
    """What was taken out, what is left, and how far that is from never having had it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    sha256: Sha256
    remaining: tuple[str, ...]
    remaining_sha256: Sha256
    """Of base, recording, and the names, files and weights of the concepts that are left."""
    largest_difference: float
    """Over layers: norm of the difference to a fusion that never saw it, over that fusion's norm."""


def largest_difference(ours: Iterable[Layer], fresh: Iterable[Layer], solve: Solve) -> float:
    """The largest relative difference between two fusions of the same layers."""
    pairs = zip(ours, fresh, strict=True)
    return max((relative_difference(solve(a), solve(b)) for a, b in pairs), default=0.0)


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what is expected."""
    difference, norm = float((found - expected).norm()), float(expected.norm())
    return difference / norm if norm else difference
