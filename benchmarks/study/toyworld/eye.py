"""Who tells objects and scenes apart, and who is in a scene: an encoder of the study's own.

toyworld's measuring encoder knows characters alone, in its own places. This one starts from it and learns,
in minutes, how alike two objects or two scenes are, and to read characters in front of scenes; the study's
own objects and scenes are never shown to it.
"""

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from benchmarks.embedded import toyworld
from benchmarks.study.toyworld.alike import VIEWS, Families, families, likenesses, pixels_of, view
from benchmarks.study.toyworld.concepts import CONCEPTS
from fedshow.toyworld.encoder import LABELS, ToyworldEncoder, load_encoder
from fedshow.toyworld.training.encoder import augment, through_vae
from fedshow.toyworld.training.identities import IGNORED
from fedshow.toyworld.training.vae import to_pixels

BATCH = 24
VERSION = 3
"""Raised whenever it is trained otherwise, so that nothing is read by an earlier one."""

RATE, TEMPERATURE = 1e-3, 0.1


def eye_file(work: Path) -> Path:
    """Where the trained weights lie."""
    return work / "eye" / f"{VERSION}.safetensors"


@cache
def open_eye(work: Path) -> ToyworldEncoder:
    """The trained eye; whether anybody is real it does not know."""
    eye = ToyworldEncoder()
    eye.load_state_dict(load_file(eye_file(work)))
    return eye.eval().requires_grad_(False)


def measure_eyes(work: Path, names: Sequence[str], count: int, steps: int) -> dict[str, Any]:
    """Trains the eye, unless it is there; how often each encoder is right about fresh drawings."""
    path = eye_file(work)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        trained = _train(families(0, count), steps).state_dict()
        save_file({key: value.contiguous() for key, value in trained.items()}, path)
    people = [name for name in names if CONCEPTS[name].group == "characters"]
    things = [name for name in names if CONCEPTS[name].group != "characters"]
    return {
        "toyworld_characters": retrieval(load_encoder(), people),
        "toyworld_others": retrieval(load_encoder(), things),
        "own_others": retrieval(open_eye(work), things),
    }


def _train(drawn: Families, steps: int) -> ToyworldEncoder:
    torch.manual_seed(0)
    eye, images = load_encoder().train().requires_grad_(True), drawn.images
    flat = images.reshape(-1, *images.shape[2:])
    decoded = through_vae(toyworld().vae, flat, (0.0, 0.35), 0).reshape(images.shape)
    optimizer = torch.optim.AdamW(eye.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for step in range(steps):
        rng = np.random.default_rng(step)
        rows = rng.integers(len(images), size=BATCH)
        chosen = np.where(rng.random((BATCH, VIEWS, 1, 1, 1)) < 0.5, decoded[rows], images[rows])
        pixels = to_pixels(chosen.swapaxes(0, 1).reshape(-1, *chosen.shape[2:]))
        people = [drawn.people[row][member] for member in range(VIEWS) for row in rows]
        labels = torch.from_numpy(drawn.labels[rows]).transpose(0, 1).flatten(0, 1)
        features = eye(augment(pixels, torch.Generator().manual_seed(step)))
        loss = identity_loss(eye, features, torch.tensor(likenesses(people)))
        loss = loss + 0.5 * reading_loss(eye, features, labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return eye.eval().requires_grad_(False)


def identity_loss(eye: ToyworldEncoder, features: Tensor, wanted: Tensor) -> Tensor:
    """How far cosines are from likenesses, plus InfoNCE between two views of one."""
    identities = F.normalize(eye.identity_head(features), dim=-1)
    cosines, third = identities @ identities.T, len(features) // VIEWS
    apart = ~torch.eye(len(features), dtype=torch.bool)
    error = ((cosines - wanted).square() * (0.3 + wanted))[apart].mean()
    contrast = F.cross_entropy(cosines[:third, third:] / TEMPERATURE, torch.arange(third))
    return 4 * error + 0.05 * contrast


def reading_loss(eye: ToyworldEncoder, features: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the attribute heads, of those that anything is known of."""
    losses = [
        F.cross_entropy(eye.attribute_heads[name](features), known, ignore_index=IGNORED)
        for name, known in zip(LABELS, labels.T, strict=True)
        if (known != IGNORED).any()
    ]
    return torch.stack(losses).mean() if losses else features.new_zeros(())


@torch.no_grad()
def retrieval(
    encoder: ToyworldEncoder, names: Sequence[str], views: int = 12, disturbance: float = 0.2
) -> dict[str, float]:
    """How well an encoder tells these concepts apart in fresh drawings that went through the autoencoder.

    `top1`: share of drawings nearest to the mean of their own concept's others. `margin`: by how much, on
    average; `own` and `other` are the cosines to one's own and to the nearest other concept.
    """
    rng = random.Random("retrieval")
    looks = [CONCEPTS[name].looks for name in names]
    views_of = [view(one, rng)[0] for one in looks for _ in range(2 * views)]
    drawn = np.array([pixels_of(image) for image in views_of], np.uint8)
    decoded = through_vae(toyworld().vae, drawn, (0.0, disturbance), 0)
    tensor = torch.from_numpy(decoded).permute(0, 3, 1, 2)
    features = encoder.identity(tensor).view(len(names), 2 * views, -1)
    known, probes = features[:, :views], features[:, views:].flatten(0, 1)
    scores = torch.einsum("pd,nvd->pnv", probes, known).mean(-1)
    owners = torch.arange(len(names)).repeat_interleave(views)
    own = scores[torch.arange(len(owners)), owners]
    others = scores.scatter(1, owners[:, None], -1.0).amax(1)
    return {
        "top1": float((own > others).float().mean()),
        "own": float(own.mean()),
        "other": float(others.mean()),
        "margin": float((own - others).mean()),
    }
