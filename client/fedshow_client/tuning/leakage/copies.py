"""How near a concept's own samples come to the private pictures.

As Carlini et al. (arXiv 2301.13188) ask whether a sample is much nearer to one training picture than
that is to others: the yardstick is how far the private pictures, all of one subject, are from one another.
A new picture of the subject is about that far from them; a reproduction is not. Distances are between
low frequencies of the base's own latents, which hold layout, background, light and colours.
Shapes: M samples, N images of a bucket, K variants, C latent channels, h and w height and width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional as F

from fedshow.sampling.model import Model
from fedshow_client.tuning.data.latents import Bucket
from fedshow_client.tuning.leakage.verdict import share
from fedshow_client.tuning.trainer import Subject

SAMPLES = 16
STEPS = 10
GRID = 16
"""Cells along an edge, at most, of what is compared; and at least two latent positions to a cell."""

AT_ONCE = 1 << 14
"""Latent positions drawn at once."""

TWINS = 1 / 3
"""Private pictures nearer to each other than this share of a stranger's distance count as one."""


@dataclass(frozen=True)
class Copying:
    """How much nearer than a different picture of the subject samples come, each from 0 to 1."""

    tuned: list[float]
    base: list[float]
    """Of the base, which never saw the pictures: the same noise and the class word for the name."""


def copying(model: Model, subject: Subject, seed: int) -> Copying:
    """Samples of the model and of its base against the private pictures.

    Asked for with the pictures' own captions: the most that a stranger could guess.
    """
    captions = [choices[0] for choices in subject.captions.choices]
    neutral = [text.replace(f"<{subject.name}>", subject.class_word) for text in captions]
    found = _nearest(model, subject, captions, seed)
    with model.strength(0):
        strangers = _nearest(model, subject, neutral, seed)
    yardstick = _yardstick(subject.latents.buckets, median(strangers))
    return Copying(
        [share(1 - distance / yardstick) for distance in found],
        [share(1 - distance / yardstick, unknown=0.0) for distance in strangers],
    )


def _yardstick(buckets: Sequence[Bucket], strange: float) -> float:
    """How far a private picture usually is from the nearest different one; `strange` if there is none."""
    between = [distance for bucket in buckets for distance in nearest_other(bucket)]
    different = [distance for distance in between if distance > TWINS * strange]
    return median(different) if different else strange


def _nearest(model: Model, subject: Subject, captions: Sequence[str], seed: int) -> list[float]:
    return [
        distance
        for bucket, samples in _draw(model, subject, captions, seed)
        for distance in nearest(samples, bucket).tolist()
    ]


def _draw(
    model: Model, subject: Subject, captions: Sequence[str], seed: int
) -> Iterator[tuple[Bucket, Tensor]]:
    """SAMPLES in all, spread over the private pictures, in the size of each and with its caption."""
    factor, count = model.base.factor, len(captions)
    asked = [n * count // SAMPLES if count > SAMPLES else n % count for n in range(SAMPLES)]
    for bucket in subject.latents.buckets:
        height, width = bucket.mean.shape[-2:]
        prompts = [captions[image] for image in asked if image in bucket.images]
        at_once = max(1, AT_ONCE // (height * width))
        for start in range(0, len(prompts), at_once):
            part = prompts[start : start + at_once]
            size = (height * factor, width * factor)
            first = seed + start
            yield bucket, model.sample_latents(part, seed=first, steps=STEPS, size=size)


def nearest(samples: Tensor, bucket: Bucket) -> Tensor:
    """Distance of each of `samples [M, C, h, w]` to the nearest variant of any image, `[M]`."""
    layouts, weights = _layouts(bucket)
    small = _pooled(samples.float())
    return torch.stack([_distance(one, layouts, weights).min() for one in small])


def nearest_other(bucket: Bucket) -> list[float]:
    """Each image's distance to the nearest other image; none when it is alone in its bucket."""
    layouts, weights = _layouts(bucket)
    count, variants = bucket.mean.shape[:2]
    if count < 2:
        return []
    found = []
    for image in range(count):
        own = range(image * variants, (image + 1) * variants)
        others = [i for i in range(len(layouts)) if i not in own]
        near = [_distance(layouts[i], layouts[others], weights[others] * weights[i]) for i in own]
        found.append(float(torch.stack(near).min()))
    return found


def _layouts(bucket: Bucket) -> tuple[Tensor, Tensor]:
    """All variants pooled, `[N*K, C, h', w']`, and how much each cell counts, `[N*K, 1, h', w']`."""
    return _pooled(bucket.mean.flatten(0, 1)), _pooled(bucket.valid.flatten(0, 1))


def _pooled(latents: Tensor) -> Tensor:
    factor = max(2, max(latents.shape[-2:]) // GRID)
    return F.avg_pool2d(latents, factor)


def _distance(one: Tensor, many: Tensor, weights: Tensor) -> Tensor:
    """Root mean squared difference of `[C, h, w]` to each of `[V, C, h, w]`, `[V]`."""
    squared = ((many - one) ** 2).mean(1, keepdim=True)
    return ((squared * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3)).clamp(min=1e-6)).sqrt()
