"""ControlNets and T2I-Adapters on any stock pipeline, by one hook on the U-Net.

A ControlNet (arXiv 2302.05543) reads the noisy latent at every step; a T2I-Adapter (arXiv 2302.08453) reads
its picture once. Both give residuals that the U-Net adds to its own features. Several add up, each
with its weight, which regions can change within their bounds.
Shapes: B latents (twice with guidance), C channels, H and W of a feature map.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from fedshow.sampling.conditions import Condition
from fedshow.sampling.regional import RegionPlan
from fedshow.sampling.regions import Size

Residuals = Sequence[Tensor]


class ConditionedDenoiser:
    """The U-Net's hook for one picture: residuals of all conditions, weighted place by place."""

    def __init__(
        self,
        conditions: Sequence[tuple[Condition, nn.Module]],
        plan: RegionPlan,
        like: Tensor,
    ) -> None:
        self.plan = plan
        self._sources = [_source(condition, module, plan, like) for condition, module in conditions]

    def __call__(
        self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The denoiser's arguments with the residuals among them."""
        found: dict[str, Any] = {}
        for condition, residuals in self._sources:
            if condition.start <= self.plan.progress < condition.end:
                for key, maps in residuals(args, kwargs).items():
                    weighted = [self._weighted(condition, map_BCHW) for map_BCHW in maps]
                    known = found.get(key)
                    found[key] = weighted if known is None else _sum(known, weighted)
        if not found:
            return None
        if "mid_block_additional_residual" in found:
            (found["mid_block_additional_residual"],) = found["mid_block_additional_residual"]
        return args, {**kwargs, **found}

    def _weighted(self, condition: Condition, map_BCHW: Tensor) -> Tensor:
        counts = [1.0, *(one.controls.get(condition.name, 1.0) for one in self.plan.regions)]
        if all(count == 1 for count in counts):
            return condition.weight * map_BCHW
        share_CHW = self.plan.shares_at((map_BCHW.shape[-2], map_BCHW.shape[-1]))
        weight_HW = condition.weight * torch.tensordot(torch.tensor(counts), share_CHW, dims=1)
        weighted_BCHW: Tensor = map_BCHW * weight_HW.to(map_BCHW)
        return weighted_BCHW


Source = Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Residuals]]


def _source(
    condition: Condition, module: nn.Module, plan: RegionPlan, like: Tensor
) -> tuple[Condition, Source]:
    picture_BCHW = _pixels(condition.picture, plan.picture, module).to(like)
    if condition.kind == "adapter":
        features = module(picture_BCHW)  # the same at every step
        return condition, lambda _args, _kwargs: {"down_intrablock_additional_residuals": features}

    def residuals(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Residuals]:
        latents = args[0]
        timestep = args[1] if len(args) > 1 else kwargs["timestep"]
        down, middle = module(
            latents,
            timestep,
            encoder_hidden_states=kwargs["encoder_hidden_states"],
            added_cond_kwargs=kwargs.get("added_cond_kwargs"),
            controlnet_cond=picture_BCHW.expand(len(latents), -1, -1, -1),
            return_dict=False,
        )
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": [middle]}

    return condition, residuals


def _sum(left: Residuals, right: Residuals) -> Residuals:
    return [one + other for one, other in zip(left, right, strict=True)]


def _pixels(picture: Image.Image, size: Size, module: Any) -> Tensor:
    """The picture's numbers: `[1, 1 or 3, H, W]`, 0 to 1."""
    read = as_read(picture, size, module)
    pixels = torch.from_numpy(np.asarray(read, dtype=np.float32) / 255)
    found: Tensor = pixels.view(1, *size, _channels(module)).permute(0, 3, 1, 2)
    return found


def as_read(picture: Image.Image, size: Size, module: Any) -> Image.Image:
    """The picture in the size and the colours in which the module reads it; read so once more, the same."""
    colours = picture.convert("RGB" if _channels(module) == 3 else "L")
    return colours.resize((size[1], size[0]), Image.Resampling.LANCZOS)


def _channels(module: Any) -> int:
    config = module.config
    return int(config.get("conditioning_channels", config.in_channels))


@contextmanager
def conditioned(
    denoiser: nn.Module,
    conditions: Sequence[tuple[Condition, nn.Module]],
    plan: RegionPlan,
    like: Tensor,
) -> Iterator[None]:
    """Within the block, the denoiser obeys the conditions; `like` has its device and type."""
    if not conditions:
        yield
        return
    hook = ConditionedDenoiser(conditions, plan, like)
    handle = denoiser.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
