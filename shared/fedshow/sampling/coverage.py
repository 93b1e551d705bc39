"""How much of each place of a grid belongs to each region.

Shapes: R regions, C = 1 + R contexts of which the first is the background, H and W of the grid.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from fedshow.sampling.regions import Box, Overlap, Region, Size

FAINT = 1e-3
"""Less is as good as nothing."""


def shares(regions: Sequence[Region], grid: Size, picture: Size, overlap: Overlap) -> Tensor:
    """Share of the background and of each region at every place: `[C, H, W]`, which sum to 1.

    `average`: regions share a place by their weights, and the background has what they leave.
    `priority`: each region lies over those before it.
    """
    covered_RHW = torch.stack([one.weight * coverage(one, grid, picture) for one in regions])
    if overlap == "priority":
        return _painted(covered_RHW.clamp(max=1))
    total_HW = covered_RHW.sum(0)
    ours_RHW = covered_RHW / total_HW.clamp(min=1)
    return torch.cat([(1 - ours_RHW.sum(0, keepdim=True)).clamp(min=0), ours_RHW])


def _painted(covered_RHW: Tensor) -> Tensor:
    left_HW = torch.ones_like(covered_RHW[0])
    layers = []
    for layer_HW in covered_RHW.flip(0):
        layers.append(layer_HW * left_HW)
        left_HW = left_HW * (1 - layer_HW)
    return torch.stack([left_HW, *reversed(layers)])


def coverage(region: Region, grid: Size, picture: Size) -> Tensor:
    """How far each cell of the grid lies in the region, 0 to 1: `[H, W]`.

    A hard box covers the cells whose middle lies in it; a mask covers a cell as far as its pixels, on
    average, are white. No region is lost on a coarse grid: a box that covers no cell covers the nearest
    one, and what covers none completely is raised until it does, or until it is as white as the mask.
    """
    if region.box is not None:
        feather = region.feather * min(picture)
        return _of_box(region.box, grid, (feather / picture[0], feather / picture[1]))
    assert region.mask is not None
    return _of_mask(region.mask, region.feather * min(picture), grid)


def _of_box(box: Box, grid: Size, feather: tuple[float, float]) -> Tensor:
    left, top, right, bottom = box
    rows_H = _along(top, bottom, grid[0], feather[0])
    columns_W = _along(left, right, grid[1], feather[1])
    return rows_H[:, None] * columns_W


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
    """The cells whose middle lies between two fractions; the nearest one when none does."""
    first, end = math.ceil(low * count - 0.5), math.ceil(high * count - 0.5)
    if first >= end:
        first = min(int((low + high) / 2 * count), count - 1)
        end = first + 1
    return slice(first, end)


def _of_mask(mask: Image.Image, feather_pixels: float, grid: Size) -> Tensor:
    if feather_pixels:
        mask = mask.filter(ImageFilter.BoxBlur(feather_pixels / 2))
    pixels = torch.from_numpy(np.asarray(mask, dtype=np.float32) / 255)
    cells = torch.nn.functional.adaptive_avg_pool2d(pixels[None], grid)[0]
    return _not_lost(cells, float(pixels.max()))


def _not_lost(covered: Tensor, most: float) -> Tensor:
    """The same with its greatest value raised to `most`, and all others in proportion."""
    greatest = float(covered.max())
    return covered * (most / greatest) if greatest < most else covered
