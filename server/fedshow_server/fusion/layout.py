"""How a base is laid out on a card of so much free memory while it is recorded from and layers are solved.

Pure arithmetic, as for drawing. Nothing is decoded; but of every input there is a matrix as wide as it is, in
Stable Diffusion XL 5 GB together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from fedshow.families.memory import BYTES, RESERVED_BYTES, SAYS, Precision, is_small

DENOISED_BYTES_PER_PIXEL = 2048
"""Of what the denoiser keeps of a guided picture, in halves (counted: 520 in Stable Diffusion 1.5)."""

MOMENT_BYTES = 8
SETS = 2
"""Of moments that are there at once: for the fit, and for the choice of the regularisation."""

SOLVED_MATRICES = 12
"""As wide as the widest input, in float64, for what is solved at once by one thread."""

PLENTY = 8
"""Pictures drawn at once, with which no card is any faster with more."""

ON_HOST = "sums in host memory, and solved there"


@dataclass(frozen=True)
class Job:
    """What is recorded from: the base's parts, one picture, and the widths of what its layers read."""

    weights: Mapping[str, int]
    """How many each part has."""

    pixels: int
    """Of one picture."""

    pictures: int
    """The most that are drawn from one seed."""

    widths: tuple[int, ...]
    """Of all inputs."""

    threads: int = 1
    """That solve."""

    denoiser: str = "unet"

    @property
    def moments(self) -> int:
        """Bytes of a set."""
        return sum(width * width for width in self.widths) * MOMENT_BYTES


@dataclass(frozen=True)
class Layout:
    """Precision and placement of a base that is recorded from; sums are float64 in any."""

    precision: Precision
    pictures: int
    """Drawn at once."""

    placement: Literal["whole", "parts"] = "whole"
    on_host: bool = False
    """Whether sums lie in host memory, where layers are solved then, too."""

    def needs(self, job: Job) -> int:
        """Bytes on the card, at most."""
        each = BYTES[self.precision]
        drawing = self.pictures * job.pixels * DENOISED_BYTES_PER_PIXEL * each // 2
        weights = {part: count * each for part, count in job.weights.items()}
        if self.placement == "whole":
            lying, reading = sum(weights.values()), sum(weights.values())
        else:
            lying, reading = weights[job.denoiser], max(weights.values())
        widest = max(job.widths) ** 2 * MOMENT_BYTES
        if self.on_host:
            found = max(lying + drawing, reading) + widest
        else:
            solving = job.threads * SOLVED_MATRICES * widest
            found = max(max(lying + drawing, reading) + SETS * job.moments, lying + solving)
        return found + RESERVED_BYTES

    def __str__(self) -> str:
        pictures = "1 picture" if self.pictures == 1 else f"{self.pictures} pictures"
        said = [self.precision, SAYS[self.placement], f"{pictures} at once"]
        return ", ".join([*said, ON_HOST] if self.on_host else said)


def layout(free_bytes: int, job: Job, half: Precision = "bfloat16") -> Layout | None:
    """The fastest that fits, `half` being the card's 16-bit precision; None when none does."""
    return next((found for found in _layouts(job, half) if found.needs(job) <= free_bytes), None)


def leanest(half: Precision = "bfloat16") -> Layout:
    """What needs least."""
    return Layout(half, 1, "parts", on_host=True)


def _layouts(job: Job, half: Precision) -> Iterator[Layout]:
    """Fastest first: a few pictures at once fill a card, moving sums at every pass does not."""
    counts = sorted({*range(1, min(PLENTY, job.pictures) + 1), job.pictures}, reverse=True)
    if is_small(job.weights):
        yield from (Layout("float32", pictures) for pictures in counts)
    for on_host in (False, True):
        for placement in ("whole", "parts"):
            yield from (Layout(half, pictures, placement, on_host) for pictures in counts)
