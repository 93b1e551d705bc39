"""How a base is laid out on a card of so much free memory while a concept is tuned.

Pure arithmetic, as for drawing. Everything but the autoencoder is needed at every step, for words are learnt
through the text encoders; the autoencoder encodes the images before, and then only draws.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

from fedshow.families import memory
from fedshow.families.memory import BYTES, RESERVED_BYTES, SAYS, TILES, Precision, is_small

LEARNT_BYTES = 20
"""Of a value that is learnt, in float32: itself, its gradient, two moments, its average."""

READ_VALUES = 16
"""Of a text encoder's layer, what is kept of each token, in multiples of its width (counted: 14)."""

ENCODED_BYTES_PER_PIXEL = 4096
"""Of what the autoencoder keeps of a picture that it encodes, in float32 (counted: 2600)."""

AWAY = "the autoencoder moves to the card when it is needed"
TWICE = "activations computed twice (slower by about a third)"


@dataclass(frozen=True)
class Job:
    """What is tuned: the base's parts, a step's pictures and texts, and what is learnt."""

    weights: Mapping[str, int]
    """How many each part has."""

    pixels: int
    """Of one picture."""

    batch: int
    learnt: int
    """How many values of adapters and words."""

    read: int
    """Width times layers times tokens of what the text encoders read in one step."""

    kept_bytes: tuple[int, int]
    """As `Family.kept_bytes`."""

    denoiser: str = "unet"
    vae: str = "vae"
    draws: bool = True
    """Whether pictures are drawn on the way, or for the leakage estimate."""


@dataclass(frozen=True)
class Layout:
    """Precision and placement of a base that is tuned; adapters and words are float32 in any."""

    precision: Precision
    tiled: bool = False
    """Whether samples are decoded in tiles."""

    away: bool = False
    """Whether the autoencoder is on the card only while it works."""

    twice: bool = False
    """Whether activations are computed twice, not kept."""

    def needs(self, job: Job) -> int:
        """Bytes on the card, at most; encoding the images, before, is not among it."""
        each = BYTES[self.precision]
        whole = sum(job.weights.values()) * each
        resting = job.weights[job.vae] * each if self.away else 0
        always = job.learnt * LEARNT_BYTES + RESERVED_BYTES
        return always + max(whole - resting + self._step(job), self._drawing(job))

    def _step(self, job: Job) -> int:
        """What a step keeps for its gradients."""
        each = BYTES[self.precision]
        kept = job.kept_bytes[self.twice] * each // 2
        return job.batch * job.pixels * kept + job.read * READ_VALUES * each

    def _drawing(self, job: Job) -> int:
        """A sample's weights and working memory; four small ones drawn at once take no more."""
        if not job.draws:
            return 0
        drawn = memory.Job(job.weights, job.pixels, denoiser=job.denoiser, vae=job.vae)
        return memory.Plan(self.precision, tiled=self.tiled).needs(drawn) - RESERVED_BYTES

    def __str__(self) -> str:
        said = {TILES: self.tiled, TWICE: self.twice}
        where = AWAY if self.away else SAYS["whole"]
        return ", ".join([self.precision, where, *(words for words, so in said.items() if so)])


def layout(free_bytes: int, job: Job, half: Precision = "bfloat16") -> Layout | None:
    """The fastest that fits, `half` being the card's 16-bit precision; None when none does."""
    return next((found for found in _layouts(job, half) if found.needs(job) <= free_bytes), None)


def leanest(half: Precision = "bfloat16") -> Layout:
    """What needs least."""
    return Layout(half, tiled=True, away=True, twice=True)


def largest_batch(free_bytes: int, job: Job, half: Precision = "bfloat16") -> int:
    """Of how many pictures a step may be; 0 when not even one fits."""
    fitting = (
        batch
        for batch in range(job.batch, 0, -1)
        if leanest(half).needs(replace(job, batch=batch)) <= free_bytes
    )
    return next(fitting, 0)


def encoded_at_once(free_bytes: int, weights: int, most: int) -> int:
    """Pixels that the autoencoder, alone on the card, encodes at once in float32; 0 if it does not fit."""
    left = free_bytes - weights * BYTES["float32"] - RESERVED_BYTES
    return max(0, min(most, left // ENCODED_BYTES_PER_PIXEL))


def _layouts(job: Job, half: Precision) -> Iterator[Layout]:
    """Fastest first."""
    if is_small(job.weights):
        yield Layout("float32")
    for twice, (tiled, away) in product(
        (False, True), ((False, False), (True, False), (True, True))
    ):
        yield Layout(half, tiled, away, twice)
