"""Regions, and how much of each place of a grid belongs to each: the numbers are fedshow's own.

Shapes: R regions, C = 1 + R contexts of which the first is the background, H and W of the grid.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Box = tuple[float, float, float, float]
Size = tuple[int, int]
"""Height and width."""

OVERLAPS = ("average", "priority")
MOST_WEIGHT = 10.0
FAINT = 1e-3
"""Less is as good as nothing."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """A box or a mask, and what to draw in it; raises ValueError for what cannot be meant."""

    positive: Tensor
    """Layer-wise features `[1, N, D]`."""

    negative: Tensor | None
    """What not to draw here; None: what the whole picture must not show."""

    box: Box
    """(left, top, right, bottom), each a fraction of width or height; not looked at with a mask."""

    mask: Tensor | None
    """`[H, W]`, 1 inside, 0 outside."""

    weight: float = 1.0
    feather: float = 0.0
    """Width of a box's soft edge, as a fraction of the picture's shorter edge."""

    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        left, top, right, bottom = self.box
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError(
                f"region box {self.box}: use fractions, 0 <= left < right <= 1 and 0 <= top < bottom <= 1"
            )
        if self.mask is not None and not self.mask.any():
            raise ValueError("region mask is black all over: paint white what the region is")
        if not 0 < self.weight <= MOST_WEIGHT:
            raise ValueError(
                f"region weight {self.weight:g}: use more than 0, up to {MOST_WEIGHT:g}"
            )
        if not 0 <= self.feather <= 1:
            raise ValueError(f"region feather {self.feather:g}: use a fraction from 0 to 1")
        if not 0 <= self.start < self.end <= 1:
            raise ValueError(
                f"region start {self.start:g} and end {self.end:g}: use 0 <= start < end <= 1"
            )

    def holds_at(self, progress: float) -> bool:
        """Whether it counts when this fraction of the steps is done."""
        return self.start <= progress < self.end


def shares(regions: Sequence[Region], grid: Size, latent: Size, overlap: str) -> Tensor:
    """Share of the background and of each region at every place: `[C, H, W]`, which sum to 1.

    `average`: regions share a place by their weights, and the background has what they leave.
    `priority`: each region lies over those before it.
    """
    if not regions:
        return torch.ones(1, *grid)
    covered_RHW = torch.stack([one.weight * coverage(one, grid, latent) for one in regions])
    if overlap == "priority":
        left_HW = torch.ones(grid)
        layers: list[Tensor] = []
        for layer_HW in covered_RHW.clamp(max=1).flip(0):
            layers.insert(0, layer_HW * left_HW)
            left_HW = left_HW * (1 - layer_HW)
        return torch.stack([left_HW, *layers])
    ours_RHW = covered_RHW / covered_RHW.sum(0).clamp(min=1)
    return torch.cat([(1 - ours_RHW.sum(0, keepdim=True)).clamp(min=0), ours_RHW])


def coverage(region: Region, grid: Size, latent: Size) -> Tensor:
    """How far each cell of the grid lies in the region, 0 to 1: `[H, W]`.

    No region is lost on a coarse grid: a box covers at least the nearest cell, and what covers none
    completely is raised until it does, or until it is as white as the mask.
    """
    if region.mask is not None:
        mask_HW = region.mask.float().cpu()
        cells_HW = torch.nn.functional.adaptive_avg_pool2d(mask_HW[None], grid)[0]
        return _not_lost(cells_HW, float(mask_HW.max()))
    left, top, right, bottom = region.box
    feather = region.feather * min(latent)
    rows_H = _along(top, bottom, grid[0], feather / latent[0])
    return rows_H[:, None] * _along(left, right, grid[1], feather / latent[1])


def _along(low: float, high: float, count: int, feather: float) -> Tensor:
    """How far the middles of `count` cells lie between two fractions; the picture's own edge is hard."""
    hard = torch.zeros(count)
    hard[_cells(low, high, count)] = 1
    if feather < FAINT:
        return hard
    middle = (torch.arange(count) + 0.5) / count
    rise = torch.ones(count) if low == 0 else ((middle - low) / feather + 0.5).clamp(0, 1)
    fall = torch.ones(count) if high == 1 else ((high - middle) / feather + 0.5).clamp(0, 1)
    covered = torch.minimum(rise, fall)
    return hard if covered.max() < FAINT else _not_lost(covered, 1.0)


def _cells(low: float, high: float, count: int) -> slice:
    first, end = math.ceil(low * count - 0.5), math.ceil(high * count - 0.5)
    if first >= end:
        first = min(int((low + high) / 2 * count), count - 1)
        end = first + 1
    return slice(first, end)


def _not_lost(covered: Tensor, most: float) -> Tensor:
    greatest = float(covered.max())
    return covered * (most / greatest) if greatest < most else covered
