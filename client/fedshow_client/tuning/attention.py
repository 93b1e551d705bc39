"""Cross-attention regularisation (Mix-of-Show's code, `reg_full_identity` false for word 1).

The map of the last word follows the subject's mask; the maps of the words before it stay inside it.
Shapes: B batch, Q query positions, T tokens.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def attend(
    maps: list[Tensor],
    attn: Any,
    hidden_states: Tensor,
    encoder_hidden_states: Tensor,
    attention_mask: Tensor | None = None,
    **_: Any,
) -> Tensor:
    """A cross-attention layer by the book `[B, Q, D]`; its mean map over heads `[B, Q, T]` joins `maps`."""

    def heads(x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], attn.heads, -1).transpose(1, 2)

    query = heads(attn.to_q(hidden_states)) * attn.scale
    key, value = heads(attn.to_k(encoder_hidden_states)), heads(attn.to_v(encoder_hidden_states))
    probability = (query @ key.transpose(-1, -2)).softmax(-1)
    maps.append(probability.mean(1))
    output = (probability @ value).transpose(1, 2).flatten(2)
    out: Tensor = attn.to_out[1](attn.to_out[0](output))
    return out


@contextmanager
def captured(layers: Sequence[tuple[nn.Module, int]]) -> Iterator[list[Tensor]]:
    """Within the block, the maps of every cross-attention layer land in the list, differentiable."""
    maps: list[Tensor] = []
    for module, _ in layers:
        module.forward = partial(attend, maps, module)
    try:
        yield maps
    finally:
        for module, _ in layers:
            del module.forward  # the instance's; the class's remains


def attention_loss(
    maps: Sequence[Tensor], words: Tensor, masks: Tensor, follow: bool = True
) -> Tensor:
    """How far the words' maps stray from the subject, mean over layers.

    `words [B, W]` are token positions, `masks [B, 1, h, w]` from 0 to 1. With `follow` the last word's
    map is to equal the mask; without, it too is only kept inside (`reg_full_identity` of the paper's code
    is the first form for the last word).
    """
    picked: dict[int, list[Tensor]] = {}
    for map_BQT in maps:
        words_BQW = torch.take_along_dim(map_BQT, words[:, None, :], dim=2)
        picked.setdefault(map_BQT.shape[1], []).append(words_BQW)
    losses = [_loss_of_size(torch.stack(found), masks, follow) for found in picked.values()]
    return torch.cat(losses).mean()


def _loss_of_size(maps_LBQW: Tensor, masks: Tensor, follow: bool) -> Tensor:
    """The loss of each of L layers of one size `[L]`."""
    height, width = masks.shape[-2:]
    while height * width > maps_LBQW.shape[2]:
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    mask_BQ = F.interpolate(masks, (height, width), mode="area").flatten(1)
    relative = maps_LBQW / maps_LBQW.amax(dim=2, keepdim=True).clamp(min=1e-6)
    outside = (relative * (1 - mask_BQ)[..., None]).square().mean((1, 2))
    if not follow:
        return outside.mean(1)
    last = (relative[..., -1] - mask_BQ).square().mean((1, 2))
    return last + (outside[:, :-1].mean(1) if outside.shape[1] > 1 else 0)
