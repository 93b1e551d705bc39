"""Whether two pictures are nearly the same: a difference hash, and a tiny copy against chance."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

MAX_BITS = 6
MAX_COLOUR = 16.0


@dataclass(frozen=True)
class Look:
    """A picture's difference hash (64 bits) and its mean colours on a grid of 4 x 4."""

    bits: int
    colours: npt.NDArray[np.float32]

    def resembles(self, other: "Look") -> bool:
        """Whether a person would call the two pictures copies of each other."""
        near = (self.bits ^ other.bits).bit_count() <= MAX_BITS
        return near and float(np.abs(self.colours - other.colours).mean()) <= MAX_COLOUR


def look_at(picture: Image.Image) -> Look:
    """The look of an RGB picture."""
    small = picture.resize((9, 8), Image.Resampling.BOX, reducing_gap=2.0)
    grey = np.asarray(small.convert("L"), dtype=np.int16)
    rises = (grey[:, 1:] > grey[:, :-1]).flatten()
    colours = np.asarray(picture.resize((4, 4), Image.Resampling.BOX), dtype=np.float32)
    return Look(int("".join("1" if up else "0" for up in rises), 2), colours)
