"""The estimate: samples against pictures, and the file against pictures."""

from fedshow.sampling.model import Model
from fedshow_client.tuning.leakage.copies import sample_distances
from fedshow_client.tuning.leakage.membership import known
from fedshow_client.tuning.leakage.verdict import REPRODUCES, Leakage
from fedshow_client.tuning.objective import Objective
from fedshow_client.tuning.trainer import Subject

NEAREST = 0.1
"""Of the samples: those that count. Whoever looks for copies draws many and keeps the nearest."""


def estimate(model: Model, subject: Subject, objective: Objective, seed: int) -> Leakage:
    """What `model`, with the concept loaded, gives back of the pictures that taught it.

    The same for the same seed; nothing is written and nothing leaves.
    """
    distances, yardstick = sample_distances(model, subject, seed)
    copied = [max(0.0, 1 - distance / yardstick) for distance in distances]
    copied.sort(reverse=True)
    return Leakage(
        copied=copied[round(NEAREST * (len(copied) - 1))],
        known=known(model, subject, objective, seed),
        copies=sum(found >= REPRODUCES for found in copied),
        samples=len(copied),
    )
