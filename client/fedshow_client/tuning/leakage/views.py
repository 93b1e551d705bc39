"""The private pictures as tuning saw them, and as it never did.

Shapes: N images of one bucket, K variants, C latent channels, h and w latent height and width.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from fedshow_client.tuning.data.latents import Bucket, LatentSet

CORNERS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
"""Where a displaced view moves: down or up, right or left."""


@dataclass(frozen=True)
class View:
    """One variant of each image of a bucket, and the same one displaced."""

    images: tuple[int, ...]
    seen: Tensor
    """`[N, C, h, w]`, as tuning saw it."""

    unseen: Tensor
    """`[N, C, h, w]`: subject, place, light and style are the same, only the composition is another."""

    valid: Tensor
    """`[N, 1, h, w]`, 0 where `seen` was padded."""

    unseen_valid: Tensor


def views(latents: LatentSet, count: int) -> Iterator[View]:
    """Up to `count` views of every image."""
    for bucket in latents.buckets:
        for variant in range(min(count, latents.variants)):
            yield _view(bucket, variant)


def _view(bucket: Bucket, variant: int) -> View:
    corner = CORNERS[variant % len(CORNERS)]
    seen, valid = bucket.mean[:, variant], bucket.valid[:, variant]
    return View(bucket.images, seen, displaced(seen, corner), valid, displaced(valid, corner))


def displaced(latents: Tensor, corner: tuple[int, int]) -> Tensor:
    """`[N, C, h, w]` moved by a quarter of its height and width; what enters is mirrored.

    Crops move a subject less than that, and never show a mirrored border, so no tuning saw it.
    """
    height, width = latents.shape[-2:]
    down, across = height // 4, width // 4
    padded = F.pad(latents, (across, across, down, down), mode="reflect")
    top, left = down * (1 - corner[0]), across * (1 - corner[1])
    return padded[..., top : top + height, left : left + width]
