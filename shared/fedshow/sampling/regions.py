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

    def __post_init__(self) -> None:
        left, top, right, bottom = self.box
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise InvalidInput(
                f"region box {self.box}: use left,top,right,bottom in fractions, 0 <= left < right <= 1"
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


class RegionalAttention:
    """Wraps any attention processor: its outputs for background and regions, blended by position."""

    def __init__(
        self,
        processor: Any,
        boxes: Sequence[tuple[float, float, float, float]],
        size: tuple[int, int],
    ) -> None:
        self.processor, self.boxes, self.size = processor, boxes, size

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
        share = weights(self.boxes, *self._grid(hidden_states.shape[1])).to(hidden_states)
        contexts = encoder_hidden_states.chunk(1 + len(self.boxes), dim=1)
        outputs = [
            self.processor(attn, hidden_states, context, attention_mask, temb, **options)
            for context in contexts
        ]
        return torch.einsum("rq,rbqd->bqd", share, torch.stack(outputs))

    def _grid(self, queries: int) -> tuple[int, int]:
        """Height and width of this layer: the latent's, halved upward as stride-2 convolutions do."""
        height, width = self.size
        while height * width > queries:
            height, width = math.ceil(height / 2), math.ceil(width / 2)
        assert height * width == queries, (self.size, queries)
        return height, width


@contextmanager
def regional(
    layers: Sequence[tuple[nn.Module, int]], regions: Sequence[Region], size: tuple[int, int]
) -> Iterator[None]:
    """Within the block, the cross-attention `layers` obey `regions`; `size` is the latent's (h, w)."""
    if not regions:
        yield
        return
    boxes = [region.box for region in regions]
    before = [(module, module.processor) for module, _ in layers]
    for module, processor in before:
        module.processor = RegionalAttention(processor, boxes, size)  # type: ignore[assignment]
    try:
        yield
    finally:
        for module, processor in before:
            module.processor = processor
