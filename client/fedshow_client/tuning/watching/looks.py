"""What was measured at each look of a run, and which of them is the best so far."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, stdev

from fedshow.files import write_atomically

MARGIN = 0.02
"""Relative; looks that differ by less are equally good."""

FILE_NAME = "looks.json"


@dataclass(frozen=True)
class Look:
    """The scores of one look's samples: per scale, one for each prompt; empty without a scorer."""

    step: int
    identity: list[list[float]] = field(default_factory=list)
    text: list[list[float]] = field(default_factory=list)

    @property
    def goods(self) -> list[float]:
        """Per prompt, how good the sample at full strength is: the geometric mean of its scores.

        Its order does not depend on the scale that an encoder's cosines happen to have, and a
        concept that ignores the prompt loses as much as one that nobody recognises.
        """
        if not self.identity:
            return []
        identity = [max(score, 0.0) for score in self.identity[-1]]
        text = [max(score, 0.0) for score in self.text[-1]] if self.text else identity
        return [(a * b) ** 0.5 for a, b in zip(identity, text, strict=True)]

    @property
    def good(self) -> float:
        """The mean of `goods`."""
        return fmean(self.goods)

    def worse_than(self, other: "Look") -> bool:
        """Whether it is worse by more than chance makes it.

        Both were drawn from the same noise, so the differences per prompt tell: their mean must be
        below zero by the margin and by its own standard error.
        """
        differences = [a - b for a, b in zip(self.goods, other.goods, strict=True)]
        error = stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else 0.0
        return fmean(differences) < -max(MARGIN * other.good, error)


def best(looks: Sequence[Look]) -> Look | None:
    """The latest look that is not worse than the highest; None when nothing was scored.

    The latest, because the learning rate falls to the end: among equals it has settled most.
    """
    scored = [look for look in looks if look.identity]
    if not scored:
        return None
    highest = max(scored, key=lambda look: look.good)
    return [look for look in scored if not look.worse_than(highest)][-1]


def looks_since_best(looks: Sequence[Look]) -> int:
    """How many scored looks in a row, up to now, were worse than the best."""
    found = best(looks)
    return sum(look.step > found.step for look in looks if look.identity) if found else 0


@dataclass
class History:
    """The looks of one run, kept in a file."""

    run: str
    """Whose looks they are: images, settings and scorer."""

    looks: list[Look] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Writes the file; raises OSError."""
        write_atomically(folder / FILE_NAME, json.dumps(asdict(self)).encode())


def load_history(folder: Path, run: str, until: int) -> History:
    """The looks of `run` up to step `until`; later ones are repeated by whoever continues there."""
    try:
        found = json.loads((folder / FILE_NAME).read_text())
        looks = [Look(**look) for look in found["looks"]]
    except (OSError, ValueError, TypeError, KeyError):
        return History(run)
    if found["run"] != run:
        return History(run)
    return History(run, [look for look in looks if look.step <= until])
