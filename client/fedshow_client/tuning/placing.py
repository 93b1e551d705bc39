"""Bringing a base to the card that a concept is tuned on, as a layout of its memory says."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from fedshow.edlora.methods import Method
from fedshow.families import Base
from fedshow.families.placing import Card, card_at, too_little, visiting, weights_of
from fedshow.saying import Say
from fedshow_client.tuning.layout import (
    Job,
    Layout,
    encoded_at_once,
    largest_batch,
    layout,
    leanest,
)
from fedshow_client.tuning.recipe import Recipe


def job_of(base: Base, recipe: Recipe, method: Method, texts: int, draws: bool) -> Job:
    """What tuning by this recipe takes, with so many different captions in a step."""
    layers = method.layers(base.family, base.layers).values()
    rank = recipe.rank
    adapters = sum(rank * (layer.in_features + layer.out_features) for layer in layers)
    configs = [encoder.module.config for encoder in base.text_encoders]
    deep = sum(config.hidden_size * config.num_hidden_layers for config in configs)
    rows = base.card.slots + any(encoder.pools for encoder in base.text_encoders)
    return Job(
        weights=weights_of(base),
        pixels=base.sample_pixels**2,
        batch=recipe.batch,
        learnt=adapters,
        read=texts * rows * base.prompt_tokens * deep,
        kept_bytes=base.family.kept_bytes,
        denoiser=base.family.denoiser,
        draws=draws,
    )


def choose(device: str, job: Job, say: Say) -> Layout | None:
    """How the base will lie on the device, which `say` is told; None for the processor.

    Raises InvalidInput when the card has too little memory for any layout, Exhausted when it has too
    little now, both with what would fit.
    """
    card = card_at(device)
    if card is None:
        return None
    found = layout(card.free_bytes, job, card.half)
    if found is None:
        what = f"tuning with a batch of {job.batch} x {job.pixels} pixels"
        needed = leanest(card.half).needs(job)
        raise too_little(
            card, what, needed, "even with activations computed twice", _instead(card, job)
        )
    say(f"{card}: {found}")
    return found


def _instead(card: Card, job: Job) -> str:
    """The flags with which it would fit."""
    for flags, other in (("", job), ("--no-samples --no-leakage ", replace(job, draws=False))):
        if batch := largest_batch(card.free_bytes, other, card.half):
            smaller = f"--set batch={batch}" if batch < job.batch else ""
            return f"{flags}{smaller}".strip()
    return "--device cpu"


def place(base: Base, found: Layout | None, device: str) -> None:
    """The base, which lies in host memory, as the layout says; None leaves it there."""
    if found is None:
        return
    for name, part in base.parts.items():
        part.to(getattr(torch, found.precision))
        if name != "vae" or not found.away:
            part.to(device)
    if found.tiled:
        base.vae.enable_tiling()
    if found.twice:
        base.denoiser.enable_gradient_checkpointing()


def place_to_encode(base: Base, device: str, most: int) -> tuple[str, int]:
    """Where the autoencoder encodes the images, and how many pixels at once; no other part need be there.

    Where a card has no room for a single picture, the processor does it.
    """
    card = card_at(device)
    if card is None:
        return device, most
    weights = sum(parameter.numel() for parameter in base.vae.parameters())
    pixels = encoded_at_once(card.free_bytes, weights, most)
    return (device, pixels) if pixels >= base.sample_pixels**2 else ("cpu", most)


@contextmanager
def all_there(base: Base) -> Iterator[None]:
    """Within the block, the autoencoder lies where the denoiser computes, so that pipelines can draw."""
    with visiting(base.vae, base.device):
        yield
