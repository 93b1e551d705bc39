"""Everything that decides a picture, given the model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from fedshow.errors import InvalidInput
from fedshow.sampling.conditions import MOST_CONDITIONS, Condition
from fedshow.sampling.regions import (
    MOST_REGIONS,
    Overlap,
    Region,
    Size,
    check_overlap,
    check_unit,
)

MOST_STEPS = 1000
MOST_PICTURES = 64
MOST_SCALE = 4.0
PIXELS_AT_ONCE = 4 * 512 * 512
"""So many are drawn in one batch: four pictures of SD 1.5's own size."""

MULTIPLE = 8
"""Stock pipelines take no other edges, whatever the autoencoder."""


@dataclass(frozen=True)
class Start:
    """An image to begin with, and the share of the schedule that draws it anew."""

    image: Image.Image
    strength: float

    def skipped(self, steps: int) -> int:
        """How many steps of the schedule are left out."""
        return steps - int(steps * self.strength)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to draw, and how. Raises InvalidInput for what cannot be drawn with any model."""

    prompt: str | Sequence[str]
    """One or several; with regions it is what the background shows."""

    regions: Sequence[Region] = ()
    overlap: Overlap = "average"
    negative: str = ""
    """What not to draw."""

    conditions: Sequence[Condition] = ()
    image: Image.Image | None = None
    """To begin with instead of noise alone."""

    strength: float = 0.6
    """How much of `image` is drawn anew: at 1 nothing of it is left."""

    separation: float = 0.0
    """How far regions look away from each other in self-attention: 0 not at all, 1 completely."""

    presence: float = 0.0
    """How hard concepts are called into their regions while the layout forms; 0.5 is a good measure."""

    layout: float = 0.0
    """Share of the steps, from the first, in which adapters do not count: the base lays the picture out."""

    windows: float = 0.0
    """Share of the steps, from the first, in which each region is also drawn in a window of its own, no
    larger than the base's own pictures: nobody is forgotten on large ones, for the time that windows take.
    """

    steps: int = 20
    guidance: float | None = None
    """Classifier-free guidance (arXiv 2207.12598); None: what suits the base."""

    seed: int | Sequence[int] = 0
    """Picture k of each prompt starts from `seed + k`; or one seed for each."""

    n: int = 1
    """Pictures of each prompt."""

    scale: float = 1.0
    """Strength of the adapters; 0 shows what the embeddings alone know."""

    width: int | None = None
    height: int | None = None
    """Pixels; None: what the base was trained on, or the size of `image`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "regions", tuple(self.regions))
        object.__setattr__(self, "conditions", tuple(self.conditions))
        for prompt in self.prompts:
            if not isinstance(prompt, str):
                raise InvalidInput(f"prompt {prompt!r}: must be text")
        if not self.prompts:
            raise InvalidInput("no prompt: say what to draw")
        _check("steps", self.steps, 1, MOST_STEPS)
        _check("n", self.n, 1, MOST_PICTURES)
        _check("guidance", 0.0 if self.guidance is None else self.guidance, 0)
        _check("scale", self.scale, 0, MOST_SCALE)
        for seed in self.seeds:
            _check("seed", seed, 0, 2**63 - 1)
        if len(self.seeds) != self.n:
            raise InvalidInput(f"{len(self.seeds)} seeds for {self.n} pictures of each prompt")
        check_overlap(self.overlap)
        check_unit("separation", self.separation)
        check_unit("presence", self.presence)
        check_unit("layout", self.layout)
        check_unit("windows", self.windows)
        if not 0 < self.strength <= 1:
            raise InvalidInput(f"strength {self.strength:g}: use more than 0, up to 1")
        if self.start is not None and self.start.skipped(self.steps) == self.steps:
            raise InvalidInput(
                f"strength {self.strength:g} of {self.steps} steps is none: "
                f"use at least {1 / self.steps:g}"
            )
        for what, given, most in (
            ("regions", self.regions, MOST_REGIONS),
            ("conditions", self.conditions, MOST_CONDITIONS),
        ):
            if len(given) > most:
                raise InvalidInput(f"{len(given)} {what}: use at most {most}")
        self._check_controls()

    @property
    def start(self) -> Start | None:
        """What the pictures begin with; None: noise."""
        return None if self.image is None else Start(self.image, self.strength)

    @property
    def prompts(self) -> list[str]:
        """All of them."""
        return [self.prompt] if isinstance(self.prompt, str) else list(self.prompt)

    @property
    def seeds(self) -> list[int]:
        """One for each picture of a prompt."""
        if isinstance(self.seed, int):
            return [self.seed + k for k in range(self.n)]
        return list(self.seed)

    @property
    def texts(self) -> list[str]:
        """Every text that the text encoder will read."""
        negatives = [one.negative for one in self.regions if one.negative is not None]
        return [*self.prompts, *(one.prompt for one in self.regions), self.negative, *negatives]

    def alone(self, prompt: str, seed: int) -> "Recipe":
        """The recipe of one of its pictures."""
        return replace(self, prompt=prompt, seed=seed, n=1)

    def size(self, default: int) -> Size:
        """Height and width of the pictures, for a base whose own edge is `default`."""
        width, height = self.image.size if self.image is not None else (default, default)
        return self.height or height, self.width or width

    def pictures_at_once(self, size: Size) -> int:
        """How many are drawn in one batch."""
        return max(
            1, min(PIXELS_AT_ONCE // (size[0] * size[1]), len(self.prompts) * len(self.seeds))
        )

    def check_size(self, size: Size, multiple: int = MULTIPLE) -> None:
        """Raises InvalidInput for a size that cannot be, and for masks and conditions that do not fit it."""
        if any(edge <= 0 or edge % multiple for edge in size):
            height, width = (max(multiple, round(edge / multiple) * multiple) for edge in size)
            raise InvalidInput(
                f"picture of {size[1]}x{size[0]} pixels: edges must be multiples of {multiple}, "
                f"such as {width}x{height}"
            )
        for region in self.regions:
            region.check_size(size)
        for condition in self.conditions:
            condition.check_size(size)

    def _check_controls(self) -> None:
        known = {condition.name for condition in self.conditions}
        for region in self.regions:
            for name in region.controls:
                if name not in known:
                    raise InvalidInput(
                        f"region weight for {name!r}: no such condition; "
                        f"there are {', '.join(sorted(known)) or 'none'}"
                    )


def _check(name: str, value: float, least: float, most: float = math.inf) -> None:
    if not least <= value <= most or math.isinf(value):  # also not a number
        limit = f"at least {least:g}" if math.isinf(most) else f"{least:g} to {most:g}"
        raise InvalidInput(f"{name} {value}: must be a number of {limit}")
