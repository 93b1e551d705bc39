"""Whether two pictures are nearly the same: the correlation of tiny colour copies.

A difference hash was tried first: in flat areas (skies, studio walls) its bits are noise.
"""

from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image

EDGE = 12
SAME_FROM = 0.97
"""Measured on 100 drawings: copies (JPEG at quality 30, half the size, 10 % brighter, 2 % cut off) correlate
from 0.973 on, the most alike of 4,950 pairs of different pictures 0.949."""

FLATTEST = 1.7
"""Levels of contrast below which a copy counts as flat, so that noise is not compared with noise."""

Look = npt.NDArray[np.float32]


def look_at(picture: Image.Image) -> Look:
    """The picture's tiny copy without brightness and contrast, a vector of length 1 (0 for flat ones)."""
    small = picture.resize((EDGE, EDGE), Image.Resampling.BOX, reducing_gap=2.0)
    values = np.asarray(small, dtype=np.float32).reshape(-1)
    values = values - values.mean()
    lightest = FLATTEST * np.sqrt(values.size)
    return cast(Look, values / max(float(np.linalg.norm(values)), float(lightest)))


def alike(one: Look, other: Look) -> bool:
    """Whether a person would call the two pictures copies of each other."""
    return float(one @ other) >= SAME_FROM
