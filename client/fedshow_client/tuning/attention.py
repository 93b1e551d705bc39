"""Attention while tuning, and its regularisation (Mix-of-Show's code, `reg_full_identity` false for word 1).

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


class Maps(list[Tensor]):
    """What is captured, until it is closed: layers that are computed twice would be there twice, and keep
    alive what they were computed twice to save.
    """

    closed = False

    def note(self, found: Tensor) -> None:
        """One more layer's map."""
        if not self.closed:
            self.append(found)

    def close(self) -> None:
        """All layers were there."""
        self.closed = True


def attend(
    attn: Any,
    maps: Maps | None,
    joined: bool,
    hidden_states: Tensor,
    encoder_hidden_states: Tensor | None = None,
    attention_mask: Tensor | None = None,
    **_: Any,
) -> Tensor:
    """An attention layer's output `[B, Q, D]`; its mean map over heads `[B, Q, T]` joins `maps`.

    One row of `encoder_hidden_states` serves the whole batch.
    """
    context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
    rows = hidden_states.flatten(0, 1)[None] if len(context) == 1 else hidden_states
    if encoder_hidden_states is None:
        projected = _project([attn.to_q, attn.to_k, attn.to_v], rows, joined)
    else:
        projected = [attn.to_q(rows), *_project([attn.to_k, attn.to_v], context, joined)]
    query, key, value = (
        found.view(*found.shape[:2], attn.heads, -1).transpose(1, 2) for found in projected
    )
    if maps is None:
        output = F.scaled_dot_product_attention(query, key, value)
    else:
        probability = (query * attn.scale @ key.transpose(-1, -2)).softmax(-1)
        maps.note(probability.mean(1).view(*hidden_states.shape[:2], -1))
        output = probability @ value
    out: Tensor = attn.to_out[1](attn.to_out[0](output.transpose(1, 2).flatten(2)))
    return out.view_as(hidden_states)


def _project(layers: Sequence[nn.Linear], x: Tensor, joined: bool) -> Sequence[Tensor]:
    """Outputs of equally wide layers that read the same; when `joined`, by one product."""
    if not joined:
        return [layer(x) for layer in layers]
    weight = torch.cat([layer.weight for layer in layers])
    biased = layers[0].bias is not None
    bias = torch.cat([layer.bias for layer in layers]) if biased else None
    return F.linear(x, weight, bias).chunk(len(layers), dim=-1)


@contextmanager
def attending(
    layers: Sequence[nn.Module], cross: Sequence[nn.Module], capture: bool, joined: bool = False
) -> Iterator[Maps]:
    """Within the block attention goes through `attend`, which does only what these layers need.

    With `capture`, the maps of the `cross` layers land in the list, differentiable. `joined` is faster
    where layers see few tokens, and passes by what is hooked to queries, keys and values.
    """
    maps = Maps()
    for layer in layers:
        layer.forward = partial(attend, layer, None, joined)
    for layer in cross:
        layer.forward = partial(attend, layer, maps if capture else None, joined)
    try:
        yield maps
    finally:
        for layer in (*layers, *cross):
            del layer.forward  # the instance's; the class's remains


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
