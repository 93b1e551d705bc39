"""Which image in which variant at which step: every image equally often, from (seed, step) alone.

In a cycle of as many steps as there are images, a bucket of n images gets n batches, spread evenly; its
batches are cut from an endless row of shuffled epochs. So a cycle shows every image exactly `batch` times,
however the images fall into buckets, and nothing has to be remembered between steps.
"""

import random
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from fedshow_client.tuning.data.latents import Bucket, LatentSet


class Pick(NamedTuple):
    """One step's bucket, the images in it by row, and their variants."""

    bucket: int
    rows: list[int]
    variants: list[int]


class Order:
    """The schedule in plain numbers: `counts` images in each bucket."""

    def __init__(self, counts: Sequence[int], variants: int, batch: int, seed: int) -> None:
        self.counts, self.variants, self.batch, self.seed = tuple(counts), variants, batch, seed
        self._shuffled = lru_cache(maxsize=256)(self._shuffle)
        self._cycle = lru_cache(maxsize=4)(self._make_cycle)

    def at(self, step: int) -> Pick:
        """What step number `step` sees."""
        cycle, place = divmod(step, sum(self.counts))
        bucket, turn = self._cycle(cycle)[place]
        first = (cycle * self.counts[bucket] + turn) * self.batch
        slots = [self._slot(bucket, first + number) for number in range(self.batch)]
        return Pick(bucket, [row for row, _ in slots], [variant for _, variant in slots])

    def _slot(self, bucket: int, number: int) -> tuple[int, int]:
        """Row and variant of a bucket's slot; an image's variants come round before one returns."""
        epoch, place = divmod(number, self.counts[bucket])
        row = self._shuffled(self.counts[bucket], f"rows/{bucket}/{epoch}")[place]
        round_, turn = divmod(epoch, self.variants)
        return row, self._shuffled(self.variants, f"variants/{bucket}/{row}/{round_}")[turn]

    def _make_cycle(self, cycle: int) -> list[tuple[int, int]]:
        """Bucket and its turn for each step of a cycle, every bucket's turns evenly spread."""
        rng = random.Random(f"{self.seed}/cycle/{cycle}")
        places = [
            ((turn + shift) / count, bucket, turn)
            for bucket, count in enumerate(self.counts)
            for shift in [rng.random()]
            for turn in range(count)
        ]
        return [(bucket, turn) for _, bucket, turn in sorted(places)]

    def _shuffle(self, count: int, purpose: str) -> list[int]:
        return random.Random(f"{self.seed}/{purpose}").sample(range(count), count)


class Batch(NamedTuple):
    """What one step learns from."""

    bucket: "Bucket"
    rows: "Tensor"
    """`[B]`, which of the bucket's images."""

    variants: "Tensor"
    """`[B]`, in which variant."""


class Schedule:
    """The batches of a run, each from (seed, step) alone."""

    def __init__(self, latents: "LatentSet", batch: int, seed: int) -> None:
        self.buckets = latents.buckets
        counts = [len(bucket.images) for bucket in latents.buckets]
        self.order = Order(counts, latents.variants, batch, seed)

    def at(self, step: int) -> Batch:
        """The batch of step number `step`."""
        import torch

        pick = self.order.at(step)
        return Batch(
            self.buckets[pick.bucket], torch.tensor(pick.rows), torch.tensor(pick.variants)
        )
