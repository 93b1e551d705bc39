"""Layer-wise features in ComfyUI's conditioning, which is one tensor `[B, N, D]`.

    N = T             ordinary: passed through
    N = T*S           layer-wise: for each token one row per slot
    N = C*T*S + 1     with regions: contexts one after the other, the background first, and one empty row

T is a multiple of the text encoder's chunk, and rows of a slot may be repeated without changing what
attention finds: ComfyUI does so to draw prompts of several lengths in one batch.
Shapes: B pictures, C contexts, T tokens, S slots, D width.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .layers import Place


def pack(features_STD: Tensor) -> Tensor:
    """One prompt's features as conditioning `[1, T*S, D]`."""
    return features_STD.transpose(0, 1).flatten(0, 1)[None]


def pack_regions(contexts_BND: Sequence[Tensor]) -> Tensor:
    """Layer-wise features of background and regions as one conditioning."""
    length = math.lcm(*(one.shape[1] for one in contexts_BND))
    batch = max(map(len, contexts_BND))
    parts = [one.repeat(1, length // one.shape[1], 1).expand(batch, -1, -1) for one in contexts_BND]
    return torch.cat([*parts, torch.zeros_like(parts[0][:, :1])], 1)


class LayerWise:
    """A patch for ComfyUI's attn2: each cross-attention layer reads the rows of its own slot."""

    def __init__(self, slots: Mapping[Place, int], chunk: int) -> None:
        self.slots, self.chunk = dict(slots), chunk
        self._count = 1 + max(self.slots.values())

    def __call__(
        self, queries: Tensor, context: Tensor, values: Tensor, options: Mapping[str, Any]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As ComfyUI calls it; with regions, the empty row stays the last."""
        if "block" not in options:
            return queries, context, values
        slot = self.slots[(*options["block"], options.get("block_index", 0))]
        chosen = self._of_slot(context, slot)
        return queries, chosen, chosen if values is context else self._of_slot(values, slot)

    def layered(self, features_BND: Tensor) -> Tensor:
        """Layer-wise features; ordinary ones are the same for every slot."""
        if self._is_layered(features_BND.shape[1]):
            return features_BND
        return features_BND.repeat_interleave(self._count, 1)

    def _is_layered(self, count: int) -> bool:
        return count % (self.chunk * self._count) == 0

    def _of_slot(self, features_BND: Tensor, slot: int) -> Tensor:
        count, slots = features_BND.shape[1], self._count
        if self._is_layered(count):
            return features_BND[:, slot::slots]
        if self._is_layered(count - 1):
            return torch.cat([features_BND[:, slot:-1:slots], features_BND[:, -1:]], 1)
        return features_BND
