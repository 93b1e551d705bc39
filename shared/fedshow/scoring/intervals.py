"""How sure a mean score is: bootstrap intervals over prompts and seeds.

Scores come as a table `[P, S]`: P prompts, each drawn with the same S seeds. Pictures of one prompt are
alike, and so are those of one seed; so prompts and seeds are resampled, each as a whole (the pigeonhole
bootstrap, Owen 2007), never single pictures. Two tables of the same prompts and seeds are resampled
together: what they share does not count as chance.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
RESAMPLES = 2000
SEED = 0
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value, and between which two it lies with a probability of 95 %; none for a single picture."""

    value: float
    low: float | None
    high: float | None


def mean_interval(scores_PS: ArrayLike) -> Interval:
    """The mean of all scores."""
    scores = _table(scores_PS)
    return _interval(float(scores.mean()), _means(scores), scores.size)


def difference_interval(after_PS: ArrayLike, before_PS: ArrayLike) -> Interval:
    """By how much the mean is greater after than before, picture by picture."""
    return mean_interval(_table(after_PS) - _paired(before_PS, after_PS))


def ratio_interval(after_PS: ArrayLike, before_PS: ArrayLike) -> Interval | None:
    """What part of the mean before is left after; None unless the mean before is above 0 for certain."""
    after, before = _table(after_PS), _paired(before_PS, after_PS)
    below = _means(before)
    if before.mean() <= 0 or below.min() <= 0:
        return None
    return _interval(float(after.mean() / before.mean()), _means(after) / below, after.size)


def _table(scores_PS: ArrayLike) -> Floats:
    scores: Floats = np.asarray(scores_PS, dtype=np.float64)
    assert scores.ndim == 2, scores.shape
    assert scores.size, scores.shape
    return scores


def _paired(scores_PS: ArrayLike, other_PS: ArrayLike) -> Floats:
    scores, other = _table(scores_PS), _table(other_PS)
    assert scores.shape == other.shape, (scores.shape, other.shape)
    return scores


def _means(scores_PS: Floats) -> Floats:
    """Means of resampled tables `[R]`; the same prompts and seeds for every table of one shape."""
    rng = np.random.default_rng(SEED)
    shares_RP, shares_RS = (
        rng.multinomial(count, [1 / count] * count, RESAMPLES) / count for count in scores_PS.shape
    )
    means: Floats = ((shares_RP @ scores_PS) * shares_RS).sum(1)
    return means


def _interval(value: float, means_R: Floats, pictures: int) -> Interval:
    if pictures < 2:
        return Interval(value, None, None)
    low, high = np.quantile(means_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))
