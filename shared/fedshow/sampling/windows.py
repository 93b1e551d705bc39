"""Regions denoised by themselves, at a size that the base knows.

A base draws best what is as large as the pictures it was trained on; on wider ones it forgets objects and
draws them twice. So each region is also denoised in a window of its own, no larger than those, by its prompt
alone, and what the denoiser says of the whole picture gives way to it where the region counts (after
MultiDiffusion, arXiv 2302.08113, with one whole picture and one window a region).
Shapes: B latents (twice with guidance), C contexts, S slots, T tokens, D width, H and W of a map.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from fedshow.sampling.regional import RegionPlan
from fedshow.sampling.regions import Region, Size

Window = tuple[slice, slice]
"""Rows and columns of the latent."""

RESIDUALS = ("down_block_additional_residuals", "down_intrablock_additional_residuals")
MIDDLE = "mid_block_additional_residual"


def window_of(region: Region, latent: Size, native: Size, stride: int) -> Window:
    """Where the region is denoised: around its middle, as large as it is, but not beyond the base's own size.

    `native` is the size of the base's own latents; edges are multiples of `stride`, so that no level of the
    denoiser cuts a cell in two, unless the picture is smaller.
    """
    left, top, right, bottom = region.bounds
    rows = _along(top, bottom, latent[0], native[0], stride)
    return rows, _along(left, right, latent[1], native[1], stride)


def _along(low: float, high: float, count: int, native: int, stride: int) -> slice:
    cells = max(1, round((high - low) * count / stride)) * stride
    edge = min(count if cells + stride > count else cells, native)
    first = min(max(0, round((low + high) / 2 * count - edge / 2)), count - edge)
    return slice(first, first + edge)


class WindowedDenoiser:
    """What stands for a denoiser's `forward` while windows count."""

    def __init__(
        self, denoiser: nn.Module, plan: RegionPlan, native: Size, stride: int, until: float
    ) -> None:
        self.whole, self.plan, self.until = denoiser.forward, plan, until
        self.windows = [window_of(one, plan.latent, native, stride) for one in plan.regions]
        plan.on_change(self._prepare)

    def __call__(self, latents_BCHW: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The denoiser's own answer, with the windows' in it."""
        if self.plan.listener is not None or self.plan.progress >= self.until:
            return self.whole(latents_BCHW, *args, **kwargs)
        with self.plan.context_alone():
            parts = {
                k: self.whole(latents_BCHW[:, :, *self.windows[k]], *args, **self._own(kwargs, k))[
                    0
                ]
                for k in self.plan.active
            }
        answer = self.whole(latents_BCHW, *args, **kwargs)
        told_BCHW = answer[0]
        differences = {k: part - told_BCHW[:, :, *self.windows[k]] for k, part in parts.items()}
        for k, difference in differences.items():
            share_HW = self.share_CHW[1 + k, *self.windows[k]]
            told_BCHW[:, :, *self.windows[k]] += share_HW * difference
        return answer

    def _prepare(self) -> None:
        self.share_CHW = self.plan.cast(self.plan.shares_at(self.plan.latent))

    def _own(self, kwargs: Mapping[str, Any], region: int) -> dict[str, Any]:
        """The denoiser's arguments for one window: its region's features, its part of all residuals."""
        found, window = dict(kwargs), self.windows[region]
        contexts = kwargs["encoder_hidden_states"].chunk(1 + len(self.plan.regions), dim=1)
        found["encoder_hidden_states"] = contexts[1 + region]
        for name in RESIDUALS:
            if kwargs.get(name) is not None:
                found[name] = [self._cut(map_BCHW, window) for map_BCHW in kwargs[name]]
        if kwargs.get(MIDDLE) is not None:
            found[MIDDLE] = self._cut(kwargs[MIDDLE], window)
        return found

    def _cut(self, map_BCHW: Tensor, window: Window) -> Tensor:
        """The window's part of a map of some level."""
        factor = 2 ** round(math.log2(self.plan.latent[0] / map_BCHW.shape[2]))
        rows, columns = (
            slice(at.start // factor, at.start // factor + math.ceil((at.stop - at.start) / factor))
            for at in window
        )
        return map_BCHW[:, :, rows, columns]


@contextmanager
def windowed(denoiser: Any, plan: RegionPlan, native: Size, until: float) -> Iterator[None]:
    """Within the block, regions have windows for this share of the steps, from the first."""
    if not until or not plan.regions:
        yield
        return
    stride = 2 ** (len(denoiser.config.block_out_channels) - 1)
    own = denoiser.__dict__.get("forward")
    denoiser.forward = WindowedDenoiser(denoiser, plan, native, stride, until)
    try:
        yield
    finally:
        if own is None:
            del denoiser.forward
        else:
            denoiser.forward = own
