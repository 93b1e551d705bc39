"""The estimate: samples against pictures, and the file against pictures."""

from collections.abc import Sequence

from fedshow.sampling.model import Model
from fedshow_client.tuning.leakage.copies import copying
from fedshow_client.tuning.leakage.membership import known
from fedshow_client.tuning.leakage.verdict import REPRODUCES, Leakage
from fedshow_client.tuning.objective import Objective
from fedshow_client.tuning.trainer import Subject

NEAREST = 0.1
"""Of the samples: those that count. Whoever looks for copies draws many and keeps the nearest."""

MOST_CHANCE = 0.9
"""A base that draws the very picture unasked makes no copy of it innocent."""


def estimate(model: Model, subject: Subject, objective: Objective, seed: int) -> Leakage:
    """What `model`, with the concept loaded, gives back of the pictures that taught it.

    The same for the same seed; nothing is written and nothing leaves.
    """
    found = copying(model, subject, seed)
    chance = min(_nearest(found.base), MOST_CHANCE)
    beyond = [max(0.0, (share - chance) / (1 - chance)) for share in found.tuned]
    return Leakage(
        copied=_nearest(beyond),
        known=known(model, subject, objective, seed),
        copies=sum(share >= REPRODUCES for share in beyond),
        samples=len(beyond),
    )


def _nearest(shares: Sequence[float]) -> float:
    return sorted(shares, reverse=True)[round(NEAREST * (len(shares) - 1))]
