"""One number and one sentence about what a concept gives away; without torch, for the daemon too."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fedshow.errors import FedshowError

TRACES = 0.25
"""Below it lie normally tuned concepts and bases that never saw the pictures."""

REPRODUCES = 0.5
"""Half as far from a private picture as those are from one another: as in Carlini et al., 2023."""


def share(value: float, unknown: float = 1.0) -> float:
    """`value` from 0 on; `unknown` for what is no finite number: what was not measured is no proof."""
    return max(0.0, value) if math.isfinite(value) else unknown


class TooMuchLeakage(FedshowError):
    """A concept that was tuned and gives back more of single pictures than its owner allows."""


@dataclass(frozen=True)
class Leakage:
    """What was found; 0 is no trace of single pictures, 1 is knowing them by heart."""

    copied: float
    """How much nearer than a different picture of the subject the nearest samples come."""

    known: float
    """How much of the file's error on private pictures falls because it knows these very pictures."""

    copies: int
    samples: int

    @property
    def value(self) -> float:
        """The number in 0..1: the worse of the two."""
        return round(max(self.copied, self.known), 3)

    @property
    def metrics(self) -> dict[str, float]:
        """What the concept's header says about it."""
        return {"leakage": self.value}

    def __str__(self) -> str:
        return f"leakage {self.value:.2f}: {self._finding}"

    @property
    def _finding(self) -> str:
        if self.copies:
            reproduce = "reproduces" if self.copies == 1 else "reproduce"
            return (
                f"{self.copies} of {self.samples} samples {reproduce} a picture of yours, "
                "not only its subject"
            )
        if self.value >= REPRODUCES:
            return "the file knows your pictures by heart, though no sample reproduces one"
        if self.value >= TRACES:
            return "single pictures of yours have left traces, though no sample reproduces one"
        return "samples resemble your pictures in subject at most, and none reproduces a picture"


def in_words(leakage: float) -> str:
    """One sentence about the number alone, as a concept's header has it."""
    if leakage >= REPRODUCES:
        return "high: the file knows single pictures by heart, or gives them back; share it with nobody"
    if leakage >= TRACES:
        return "single pictures have left traces"
    return "as low as normally tuned concepts"


def too_much(metrics: Mapping[str, float], limit: float) -> str | None:
    """Why a concept with these metrics may not leave under `limit`; None when it may.

    A limit of 1 allows everything; under any other a concept that was not measured stays.
    """
    if limit >= 1:
        return None
    found = metrics.get("leakage")
    if found is None:
        return f"its leakage was not measured, and the limit is {limit:g}"
    return f"leakage {found:.3g} is above the limit {limit:g}" if found > limit else None
