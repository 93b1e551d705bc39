"""Regionally controllable sampling (Mix-of-Show, section 3.4).

In every cross-attention layer the picture outside all regions attends to the background prompt, and
each region to its own prompt alone; where regions overlap, their outputs are averaged.
Self-attention is left alone.
"""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fedshow.errors import InvalidInput

SPEC = re.compile(r"\s*([^:]*?)\s*:\s*(.+)", re.DOTALL)


@dataclass(frozen=True)
class Region:
    """A box in fractions of width and height, and what to draw in it."""

    box: tuple[float, float, float, float]
    """(left, top, right, bottom), each from 0 to 1."""

    prompt: str
    negative: str = ""
    start: float = 0.0
    """From which fraction of the denoising steps on the region counts; before, the layout forms."""

    def __post_init__(self) -> None:
        left, top, right, bottom = self.box
        if not 0 <= self.start < 1:
            raise InvalidInput(
                f"region start {self.start}: use a fraction of the steps, 0 to below 1"
            )
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise InvalidInput(
                f"region box {left:g},{top:g},{right:g},{bottom:g}: use left,top,right,bottom in "
                "fractions, 0 <= left < right <= 1 and 0 <= top < bottom <= 1"
            )

    @classmethod
    def parse(cls, spec: str) -> "Region":
        """The region written as `x0,y0,x1,y1: prompt`; raises InvalidInput."""
        match = SPEC.fullmatch(spec)
        try:
            left, top, right, bottom = (float(part) for part in match[1].split(","))  # type: ignore[index]
        except (TypeError, ValueError):
            raise InvalidInput(f"region {spec!r}: write 'x0,y0,x1,y1: prompt'") from None
        assert match is not None
        return cls((left, top, right, bottom), match[2])


def weights(boxes: Sequence[tuple[float, float, float, float]], height: int, width: int) -> Tensor:
    """Share of background and of each box at every position: `[1 + R, height * width]`, columns sum to 1.

    A box covers at least one cell, however coarse the grid.
    """
    inside = torch.zeros(1 + len(boxes), height, width)
    for index, (left, top, right, bottom) in enumerate(boxes):
        rows, columns = _cells(top, bottom, height), _cells(left, right, width)
        inside[1 + index, rows, columns] = 1
    inside[0] = (inside[1:].sum(0) == 0).float()
    return (inside / inside.sum(0)).flatten(1)


def _cells(low: float, high: float, count: int) -> slice:
    """The cells whose middle lies between two fractions; the nearest one when none does."""
    first, end = math.ceil(low * count - 0.5), math.ceil(high * count - 0.5)
    if first >= end:
        first = min(int((low + high) / 2 * count), count - 1)
        end = first + 1
    return slice(first, end)


class RegionPlan:
    """The regions of one picture and how far its denoising is, shared by all layers."""

    def __init__(self, regions: Sequence[Region], size: tuple[int, int]) -> None:
        self.regions, self.size = regions, size
        self.progress = 0.0
        self._known: dict[tuple[Any, ...], list[tuple[int, Tensor]]] = {}

    def shares(self, like_BQD: Tensor) -> list[tuple[int, Tensor]]:
        """Contexts that count now (0 is the background) and anywhere, each with its `[Q]` share of the
        positions; where these queries are, for sending them there costs more than computing with them.
        """
        active = tuple(i for i, one in enumerate(self.regions) if one.start <= self.progress)
        key = (active, like_BQD.shape[1], like_BQD.device, like_BQD.dtype)
        if key not in self._known:
            self._known[key] = [
                (context, share_Q.to(like_BQD))
                for context, share_Q in self._shares(active, like_BQD.shape[1])
                if share_Q.any()
            ]
        return self._known[key]

    def _shares(self, active: Sequence[int], queries: int) -> Iterator[tuple[int, Tensor]]:
        share_CQ = weights([self.regions[i].box for i in active], *self._grid(queries))
        return zip((0, *(1 + i for i in active)), share_CQ, strict=True)

    def _grid(self, queries: int) -> tuple[int, int]:
        """Height and width of a layer: the latent's, halved upward as stride-2 convolutions do."""
        height, width = self.size
        while height * width > queries:
            height, width = math.ceil(height / 2), math.ceil(width / 2)
        assert height * width == queries, (self.size, queries)
        return height, width


class RegionalAttention:
    """Wraps any attention processor: its outputs for background and regions, blended by position."""

    def __init__(self, processor: Any, plan: RegionPlan) -> None:
        self.processor, self.plan = processor, plan

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        **options: Any,
    ) -> Tensor:
        """`[B, Q, D]` out of queries `[B, Q, D]` and packed contexts `[B, (1+R)*T, D]`.

        Blending after the output projection equals blending before it: it is affine and the
        weights sum to 1.
        """
        contexts = encoder_hidden_states.chunk(1 + len(self.plan.regions), dim=1)
        blended = torch.zeros_like(hidden_states)
        for index, share_Q in self.plan.shares(hidden_states):
            output = self.processor(
                attn, hidden_states, contexts[index], attention_mask, temb, **options
            )
            blended = blended + share_Q[None, :, None] * output
        return blended


@contextmanager
def regional(
    layers: Sequence[tuple[nn.Module, int]], regions: Sequence[Region], size: tuple[int, int]
) -> Iterator[RegionPlan]:
    """Within the block, the cross-attention `layers` obey `regions`; `size` is the latent's (h, w)."""
    plan = RegionPlan(regions, size)
    before = [(module, module.processor) for module, _ in layers]
    for module, processor in before if regions else []:
        module.processor = RegionalAttention(processor, plan)  # type: ignore[assignment]
    try:
        yield plan
    finally:
        for module, processor in before:
            module.processor = processor
