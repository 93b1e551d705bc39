"""From what was read of pictures to means with intervals: concepts x prompts, both resampled."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from benchmarks.study.material import Concept, Read
from fedshow.scoring.intervals import (
    Interval,
    difference_interval,
    mean_interval,
    ratio_interval,
)

Scores = NDArray[np.float64]
"""`[C, P]`: concepts, prompts."""

Value = dict[str, float | None]
"""`value`, `low`, `high`: 95 % intervals."""


def identity(found: Iterable[Read]) -> Scores:
    """Cosine to the private pictures."""
    return np.array([one["identity"] for one in found])


def text(found: Iterable[Read]) -> Scores:
    """How much of what each prompt asks for is there."""
    return np.array([one["text"] for one in found])


def value(interval: Interval | None) -> Value:
    """As JSON; nothing where there is no interval."""
    return asdict(interval) if interval else {"value": None, "low": None, "high": None}


def mean(scores: Scores) -> Value:
    """The mean of all."""
    return value(mean_interval(scores))


def difference(after: Scores, before: Scores) -> Value:
    """By how much the first is more, concept by concept and prompt by prompt."""
    return value(difference_interval(after, before))


def kept(after: Scores, before: Scores) -> Value:
    """What part of the mean before is left."""
    return value(ratio_interval(after, before))


def summary(found: Mapping[str, Read]) -> dict[str, Value]:
    """Identity and text alignment of these concepts together."""
    return {"identity": mean(identity(found.values())), "text": mean(text(found.values()))}


def by_group(
    found: Mapping[str, Read], concepts: Mapping[str, Concept]
) -> dict[str, dict[str, Value]]:
    """The same for each group of the concepts."""
    groups = dict.fromkeys(concept.group for concept in concepts.values())
    parts = {g: {n: r for n, r in found.items() if concepts[n].group == g} for g in groups}
    return {group: summary(part) for group, part in parts.items() if part}


def by_concept(rows: Sequence[tuple[str, Sequence[float]]]) -> dict[str, list[float]]:
    """One row for each concept, the mean of all that it has."""
    names = dict.fromkeys(name for name, _ in rows)
    return {
        name: np.mean([scores for other, scores in rows if other == name], axis=0).tolist()
        for name in names
    }


def apart(first: Value, second: Value) -> bool:
    """Whether the first is more, and the intervals do not overlap."""
    low, high = first["low"], second["high"]
    return low is not None and high is not None and low > high
