"""How much better a file knows the private pictures than other views of the very same things.

Denoising error tells members from strangers, best at little noise (Carlini et al., arXiv 2301.13188),
once each picture's own difficulty is taken out by a reference model (Watson et al., arXiv 2111.08440):
here the base. There are no pictures of the subject that tuning did not see, and holding one out would cost
a teacher a fifth of what little there is; so the strangers are the private pictures moved by a quarter.
Subject, place and style are the same in both, so knowing these does not count; only composition does.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedshow.families.encoded import Encoded
from fedshow.sampling.model import Model
from fedshow_client.tuning.leakage.verdict import share
from fedshow_client.tuning.leakage.views import View, views
from fedshow_client.tuning.objective import Objective
from fedshow_client.tuning.trainer import Subject

NOISE = 0.1
"""Of the diffusion's steps. With more noise, knowing the subject helps as much as knowing the picture."""

VIEWS = 2
DRAWS = 2
AT_ONCE = 1 << 14
"""Latent positions in one pass."""


def known(model: Model, subject: Subject, objective: Objective, seed: int) -> float:
    """Share of the denoising error on private pictures that is missing for knowing them, 0 to 1."""
    captions = [choices[0] for choices in subject.captions.choices]
    neutral = [text.replace(f"<{subject.name}>", subject.class_word) for text in captions]
    tuned = _seen_over_unseen(model, subject, captions, objective, seed)
    with model.strength(0):
        base = _seen_over_unseen(model, subject, neutral, objective, seed)
    return share(1 - tuned / base)


@torch.no_grad()
def _seen_over_unseen(
    model: Model, subject: Subject, captions: Sequence[str], objective: Objective, seed: int
) -> float:
    encoded = model.tokens.encoded(list(captions))
    sums = torch.zeros(2, dtype=torch.float64)
    for number, view in enumerate(views(subject.latents, VIEWS)):
        told = encoded[list(view.images)]
        for draw in range(DRAWS):
            generator = torch.Generator().manual_seed((seed << 16) + DRAWS * number + draw)
            sums += _errors(model, view, told, objective, generator)
    return float(sums[0] / sums[1])


def _errors(
    model: Model, view: View, told: Encoded, objective: Objective, generator: torch.Generator
) -> Tensor:
    """Errors on the seen and on the unseen view, `[2]`, under the same noise."""
    noise = objective.noise(view.seen, generator)
    times = torch.full((len(noise),), round(NOISE * objective.steps), device=noise.device)
    at_once = max(1, AT_ONCE // (noise.shape[-1] * noise.shape[-2]))
    found = []
    for clean, valid in ((view.seen, view.valid), (view.unseen, view.unseen_valid)):
        total = 0.0
        for start in range(0, len(clean), at_once):
            rows = slice(start, start + at_once)
            noisy = objective.noisy(clean[rows], noise[rows], times[rows])
            predicted = model.base.denoise(noisy.to(model.base.dtype), times[rows], told[rows])
            errors = objective.errors(predicted, clean[rows], noise[rows], times[rows], valid[rows])
            total += float(errors.double().sum())
        found.append(total)
    return torch.tensor(found, dtype=torch.float64)
