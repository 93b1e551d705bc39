"""Layer-wise conditioning of stock diffusers models: one pre-hook per cross-attention layer.

What `encoder_hidden_states` may be:
    [B, T, D]          ordinary: passed through
    [B, S, T, D]       layered: the layer's slot is taken
    S times [B, T, D]  the same in parts, whose gradients meet once, not once a slot
    [B, R*S*T, D]      packed: what stock pipelines carry, which insist on three dimensions;
                       R = 1 background + number of regions
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fedshow.families.encoded import Encoded

Hook = Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], Any]


def pack(features_BSTD: Sequence[Tensor]) -> Tensor:
    """Layered features of background and regions as one `[B, R*S*T, D]` tensor."""
    return torch.stack(list(features_BSTD), dim=1).flatten(1, 3)


def packed(encoded: Sequence[Encoded]) -> Encoded:
    """The same with what is pooled of the background, which speaks for the whole picture."""
    return Encoded(pack([one.features for one in encoded]), encoded[0].pooled)


class LayeredConditioning:
    """Feeds each cross-attention layer the encoding made for its slot."""

    def __init__(self, layers: Sequence[tuple[nn.Module, int]], slots: int, tokens: int) -> None:
        self.slots, self.tokens = slots, tokens
        self._handles: list[RemovableHandle] = [
            module.register_forward_pre_hook(self._select(slot), with_kwargs=True)
            for module, slot in layers
        ]

    def detach(self) -> None:
        """Leaves the model as it was."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _select(self, slot: int) -> Hook:
        def choose(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            features = kwargs.get("encoder_hidden_states")
            if features is None:
                return None
            return args, {**kwargs, "encoder_hidden_states": self._of_slot(features, slot)}

        return choose

    def _of_slot(self, features: Tensor | tuple[Tensor, ...], slot: int) -> Tensor:
        if isinstance(features, tuple):
            return features[slot]
        if features.ndim == 4:
            return features[:, slot]
        if features.shape[1] % (self.slots * self.tokens):
            return features
        parts_BRSTD = features.reshape(
            len(features), -1, self.slots, self.tokens, features.shape[-1]
        )
        return parts_BRSTD[:, :, slot].flatten(1, 2)
