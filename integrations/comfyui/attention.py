"""Attention by regions (Mix-of-Show, arXiv 2305.18292, section 3.4) as a replacement of ComfyUI's attn2.

Shapes: B pictures, Q places (queries), C contexts, T tokens, D width, E heads.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .regions import Region, Size, shares


class RegionalAttention:
    """Every place attends to the contexts that count there, and averages what it finds by their shares."""

    def __init__(self, regions: Sequence[Region], overlap: str, chunk: int) -> None:
        self.regions, self.overlap, self.chunk = tuple(regions), overlap, chunk
        self._timed = any((one.start, one.end) != (0, 1) for one in self.regions)
        self._shares: dict[tuple[Any, ...], Tensor] = {}

    def __call__(
        self, queries_BQD: Tensor, keys_BND: Tensor, values_BND: Tensor, options: Mapping[str, Any]
    ) -> Tensor:
        """`[B, Q, D]`; conditioning without regions is attended to as ever."""
        queries, keys, values = (
            one.reshape(*one.shape[:2], options["n_heads"], -1).transpose(1, 2)
            for one in (queries_BQD, keys_BND, values_BND)
        )
        contexts, rest = divmod(keys.shape[2] - 1, 1 + len(self.regions))
        if rest or contexts % self.chunk:
            found_BEQD = scaled_dot_product_attention(queries, keys, values)
        else:
            found_BEQD = self._blended(queries, keys[:, :, :-1], values[:, :, :-1], options)
        return found_BEQD.transpose(1, 2).flatten(2)

    def _blended(
        self, queries_BEQD: Tensor, keys: Tensor, values: Tensor, options: Mapping[str, Any]
    ) -> Tensor:
        share_CQ = self._shares_of(queries_BEQD.shape[2], options).to(queries_BEQD)
        blended_BEQD = torch.zeros_like(queries_BEQD)
        parts = (one.chunk(len(share_CQ), 2) for one in (keys, values))
        for share_Q, own_keys, own_values in zip(share_CQ, *parts, strict=True):
            at_P = share_Q.nonzero()[:, 0]
            if len(at_P):
                output = scaled_dot_product_attention(
                    queries_BEQD[:, :, at_P], own_keys, own_values
                )
                blended_BEQD = blended_BEQD.index_add(2, at_P, output * share_Q[at_P, None])
        return blended_BEQD

    def _shares_of(self, places: int, options: Mapping[str, Any]) -> Tensor:
        """Share of the background and of each region at every place: `[C, Q]`."""
        latent: Size = tuple(options["original_shape"][-2:])
        active = self._active(options)
        key = places, latent, active
        if key not in self._shares:
            grid = _grid(latent, places)
            found = torch.zeros(1 + len(self.regions), *grid)
            counted = [self.regions[k] for k in active]
            found[[0, *(1 + k for k in active)]] = shares(counted, grid, latent, self.overlap)
            self._shares[key] = found.flatten(1)
        return self._shares[key]

    def _active(self, options: Mapping[str, Any]) -> tuple[int, ...]:
        """Which regions count now."""
        if not self._timed:
            return tuple(range(len(self.regions)))
        done = progress(options)
        return tuple(k for k, one in enumerate(self.regions) if one.holds_at(done))


def progress(options: Mapping[str, Any]) -> float:
    """Share of the steps of this sampling that are done; raises ValueError where ComfyUI does not say."""
    steps = options.get("sample_sigmas")
    if steps is None:
        raise ValueError("start and end of regions need a ComfyUI that tells patches the steps")
    now = float(options["sigmas"].max()) * (1 + 1e-4)
    return int((steps[:-1] > now).sum()) / (len(steps) - 1)


def _grid(latent: Size, places: int) -> Size:
    """Height and width of the level of the U-Net that has so many places."""
    height, width = latent
    while height * width > places:
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    if height * width != places:
        raise ValueError(f"{places} places are no level of a latent of {latent[0]}x{latent[1]}")
    return height, width
