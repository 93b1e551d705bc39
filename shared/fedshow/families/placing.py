"""Bringing an opened base to where it computes, as a plan of its memory says."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fedshow.errors import InvalidInput
from fedshow.families.memory import GIGABYTE, Job, Plan, Precision, leanest, plan

if TYPE_CHECKING:
    from fedshow.families.opening import Base

Say = Callable[[str], None]
Arrange = Callable[["Base", str], None]
"""Brings a base that lies in host memory to a device."""

FIRST_WITH_BFLOAT16 = 8
"""Compute capability of the first cards that compute in it (Ampere)."""


def settle(
    base: "Base",
    device: str,
    say: Say = lambda _line: None,
    pixels: int | None = None,
    pictures: int = 1,
) -> None:
    """Brings a base that lies in host memory to the device to draw pictures there; `say` is told how.

    `pixels` of each of so many `pictures` at once, else one of the base's own size. To be called before
    words and adapters are added. Raises InvalidInput when the card has too little free memory for any plan.
    """
    if torch.device(device).type == "cpu":
        return
    job = job_of(base, pixels or base.sample_pixels**2, pictures)
    free = torch.cuda.mem_get_info(device)[0]
    half: Precision = "bfloat16" if _has_bfloat16(device) else "float16"
    found = plan(free, job, half)
    name = f"{device if ':' in device else f'{device}:{torch.cuda.current_device()}'}"
    if found is None:
        raise InvalidInput(
            f"{name}: {free / GIGABYTE:.1f} GB free, drawing {job.pictures} x {job.pixels} pixels "
            f"needs {leanest(half).needs(job) / GIGABYTE:.1f} GB even layer by layer; use --device cpu"
        )
    say(f"{name}, {free / GIGABYTE:.1f} GB free: {found}")
    place(base.pipeline, base.parts, found, device)


def job_of(base: "Base", pixels: int, pictures: int = 1) -> Job:
    """What is drawn with this base."""
    weights = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in base.parts.items()
    }
    return Job(weights, pixels, pictures, denoiser=base.family.denoiser)


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


def computes_on(module: nn.Module) -> torch.device:
    """Where a module computes, though its weights may lie elsewhere until it is called."""
    for part in module.modules():
        device = getattr(getattr(part, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device)
    return next(module.parameters()).device


def _has_bfloat16(device: str) -> bool:
    return torch.cuda.get_device_capability(device)[0] >= FIRST_WITH_BFLOAT16
