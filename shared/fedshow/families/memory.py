"""How a base is laid out on a card of so much free memory: in which precision, and what lies there when.

Pure arithmetic on numbers of weights and pixels. What drawing needs besides weights is estimated from above:
for guidance, the denoiser sees every picture twice; the autoencoder decodes one picture after the other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16", "float16"]
Placement = Literal["whole", "parts", "layers"]

GIGABYTE = 10**9
SMALL_BYTES = GIGABYTE
"""Bases below this stay in float32: they are fast anyway, and pictures are those of a processor."""

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

DENOISED_BYTES_PER_PIXEL = 4096
"""Of what the denoiser keeps at once for a pixel of a picture, in halves: 1 GB at 512 x 512."""

DECODED_BYTES_PER_PIXEL = 8192
"""Of what the autoencoder keeps, whose layers see every pixel: 2 GB at 512 x 512."""

TILE_PIXELS = 512 * 512
RESERVED_BYTES = GIGABYTE // 4
"""For the libraries' own workspaces and for what allocators leave unused."""

LAYERS_SHARE = 0.1
"""Of the largest part's weights, what single layers have at most."""

TILES = "pictures decoded in tiles"
SAYS: dict[Placement, str] = {
    "whole": "everything on the card",
    "parts": "parts move to the card when they are needed",
    "layers": "layers move to the card one by one, which is slow",
}


@dataclass(frozen=True)
class Job:
    """What is drawn with: numbers of weights of each part, and the pictures that are drawn at once."""

    weights: Mapping[str, int]
    pixels: int
    """Of one picture."""

    pictures: int = 1
    denoiser: str = "unet"
    vae: str = "vae"


@dataclass(frozen=True)
class Plan:
    """Precision and placement of a base; `tiled` when pictures are decoded in tiles."""

    precision: Precision
    placement: Placement = "whole"
    tiled: bool = False

    def needs(self, job: Job) -> int:
        """Bytes on the card while the pictures are drawn."""
        each = BYTES[self.precision]
        weights = {part: count * each for part, count in job.weights.items()}
        decoded = min(job.pixels, TILE_PIXELS) if self.tiled else job.pixels
        working = dict.fromkeys(weights, 0)
        working[job.denoiser] = job.pixels * job.pictures * DENOISED_BYTES_PER_PIXEL * each // 2
        working[job.vae] = decoded * DECODED_BYTES_PER_PIXEL * each // 2
        if self.placement == "whole":
            found = sum(weights.values()) + max(working.values())
        elif self.placement == "parts":
            found = max(weights[part] + working[part] for part in weights)
        else:
            found = int(LAYERS_SHARE * max(weights.values())) + max(working.values())
        return found + RESERVED_BYTES

    def __str__(self) -> str:
        tiles = f", {TILES}" if self.tiled else ""
        return f"{self.precision}, {SAYS[self.placement]}{tiles}"


def plan(free_bytes: int, job: Job, half: Precision = "bfloat16") -> Plan | None:
    """The fastest plan that fits, `half` being the card's 16-bit precision; None when none does."""
    return next((found for found in _plans(job, half) if found.needs(job) <= free_bytes), None)


def leanest(half: Precision = "bfloat16") -> Plan:
    """What needs least."""
    return Plan(half, "layers", tiled=True)


def is_small(weights: Mapping[str, int]) -> bool:
    """Whether a base stays in float32."""
    return sum(weights.values()) * BYTES["float32"] <= SMALL_BYTES


def _plans(job: Job, half: Precision) -> Iterator[Plan]:
    """Fastest first."""
    if is_small(job.weights):
        yield Plan("float32")
    yield Plan(half)
    yield Plan(half, tiled=True)
    yield Plan(half, "parts")
    yield Plan(half, "parts", tiled=True)
    yield leanest(half)
