"""Cross-attention regularisation (Mix-of-Show's code, `reg_full_identity` false for word 1).

The map of the last word follows the subject's mask; the maps of the words before it stay inside it.
Shapes: B batch, Q query positions, T tokens.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CaptureProcessor:
    """Attention by the book, keeping the mean map over heads `[B, Q, T]`, differentiable."""

    def __init__(self, maps: list[Tensor]) -> None:
        self.maps = maps

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        """The layer's output `[B, Q, D]`."""
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
        value = attn.head_to_batch_dim(attn.to_v(encoder_hidden_states))
        probability = attn.get_attention_scores(query, key, attention_mask)
        self.maps.append(probability.unflatten(0, (len(hidden_states), -1)).mean(1))
        output = attn.batch_to_head_dim(torch.bmm(probability, value))
        return attn.to_out[1](attn.to_out[0](output))  # type: ignore[no-any-return]


@contextmanager
def captured(layers: Sequence[tuple[nn.Module, int]]) -> Iterator[list[Tensor]]:
    """Within the block, the maps of every cross-attention layer land in the list."""
    maps: list[Tensor] = []
    before = [(module, module.processor) for module, _ in layers]
    for module, _ in before:
        module.processor = CaptureProcessor(maps)  # type: ignore[assignment]
    try:
        yield maps
    finally:
        for module, processor in before:
            module.processor = processor


def attention_loss(
    maps: Sequence[Tensor], words: Tensor, masks: Tensor, follow: bool = True
) -> Tensor:
    """How far the words' maps stray from the subject, mean over layers.

    `words [B, W]` are token positions, `masks [B, 1, h, w]` from 0 to 1. With `follow` the last word's
    map is to equal the mask; without, it too is only kept inside (`reg_full_identity` of the paper's code
    is the first form for the last word).
    """
    return torch.stack([_layer_loss(m, words, masks, follow) for m in maps]).mean()


def _layer_loss(map_BQT: Tensor, words: Tensor, masks: Tensor, follow: bool) -> Tensor:
    height, width = masks.shape[-2:]
    while height * width > map_BQT.shape[1]:
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    mask_BQ = F.interpolate(masks, (height, width), mode="area").flatten(1)
    picked = torch.take_along_dim(map_BQT, words[:, None, :], dim=2)
    relative = picked / picked.amax(dim=1, keepdim=True).clamp(min=1e-6)
    outside = (relative * (1 - mask_BQ)[..., None]).square().mean((0, 1))
    if not follow:
        return outside.mean()
    last = (relative[..., -1] - mask_BQ).square().mean()
    return last + (outside[:-1].mean() if len(outside) > 1 else 0)
