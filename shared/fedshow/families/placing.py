"""Bringing an opened base to where it computes, as a plan of its memory says."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fedshow.errors import Exhausted, InvalidInput
from fedshow.families.memory import GIGABYTE, Job, Plan, Precision, leanest, plan
from fedshow.saying import Say

if TYPE_CHECKING:
    from fedshow.families.opening import Base

Arrange = Callable[["Base", str], None]
"""Brings a base that lies in host memory to a device."""

FIRST_WITH_BFLOAT16 = 8
"""Compute capability of the first cards that compute in it (Ampere)."""


@dataclass(frozen=True)
class Card:
    """What plans must know of a card."""

    name: str
    free_bytes: int
    total_bytes: int
    half: Precision
    """The 16-bit precision that it computes in."""

    def __str__(self) -> str:
        return f"{self.name}, {self.free_bytes / GIGABYTE:.1f} GB free"


def card_at(device: str) -> Card | None:
    """The card behind a device's name, as free as it is now; None for the processor.

    What this process has there and needs no more is let go before.
    """
    if torch.device(device).type == "cpu":
        return None
    gc.collect()
    torch.cuda.empty_cache()
    name = device if ":" in device else f"{device}:{torch.cuda.current_device()}"
    half: Precision = "bfloat16" if _has_bfloat16(device) else "float16"
    return Card(name, *torch.cuda.mem_get_info(device), half)


def settle(
    base: "Base",
    device: str,
    say: Say = lambda _line: None,
    pixels: int | None = None,
    pictures: int = 1,
) -> None:
    """Brings a base that lies in host memory to the device to draw pictures there; `say` is told how.

    `pixels` of each of so many `pictures` at once, else one of the base's own size. To be called before
    words and adapters are added. Raises InvalidInput when the card has too little memory for any plan,
    Exhausted when others have too much of it now.
    """
    card = card_at(device)
    if card is None:
        return
    job = job_of(base, pixels or base.sample_pixels**2, pictures)
    found = plan(card.free_bytes, job, card.half)
    if found is None:
        what = f"drawing {job.pictures} x {job.pixels} pixels"
        raise too_little(card, what, leanest(card.half).needs(job), "even layer by layer")
    say(f"{card}: {found}")
    place(base.pipeline, base.parts, found, device)


def too_little(
    card: Card, what: str, needed: float, at_least: str, instead: str = "--device cpu"
) -> InvalidInput | Exhausted:
    """Why there is no plan, and what to do: `what` needs so many bytes `at_least` so arranged."""
    says = f"{card}, {what} needs {needed / GIGABYTE:.1f} GB {at_least}"
    if needed > card.total_bytes:
        return InvalidInput(f"{says}; use {instead}")
    others = f"others have the rest of its {card.total_bytes / GIGABYTE:.1f} GB"
    return Exhausted(f"{says}, and {others}; try again when they are done, or use {instead}")


def job_of(base: "Base", pixels: int, pictures: int = 1) -> Job:
    """What is drawn with this base."""
    return Job(weights_of(base), pixels, pictures, denoiser=base.family.denoiser)


def weights_of(base: "Base") -> dict[str, int]:
    """How many weights each part has."""
    return {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in base.parts.items()
    }


def place(pipeline: Any, parts: dict[str, nn.Module], found: Plan, device: str) -> None:
    """The pipeline's parts in the plan's precision, at or on call to the device."""
    for part in parts.values():
        part.to(getattr(torch, found.precision))
    pipeline.vae.enable_slicing()
    if found.tiled:
        pipeline.vae.enable_tiling()
    if found.placement == "whole":
        pipeline.to(device)
    elif found.placement == "parts":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.enable_sequential_cpu_offload(device=device)


@contextmanager
def visiting(part: nn.Module, device: torch.device) -> Iterator[None]:
    """Within the block a part lies on the device; then it goes back to where it was."""
    home = next(part.parameters()).device
    part.to(device)
    try:
        yield
    finally:
        part.to(home)


def computes_on(module: nn.Module) -> torch.device:
    """Where a module computes, though its weights may lie elsewhere until it is called."""
    for part in module.modules():
        device = getattr(getattr(part, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device)
    return next(module.parameters()).device


def _has_bfloat16(device: str) -> bool:
    return torch.cuda.get_device_capability(device)[0] >= FIRST_WITH_BFLOAT16
