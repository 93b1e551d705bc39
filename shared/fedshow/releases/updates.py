"""The fused update in a release: per layer an exact LoRA, or one matrix where that is smaller.

    LAYER.lora_A.weight [N, I] and LAYER.lora_B.weight [O, N]     delta = B @ A
    LAYER.delta [O, I]                                            delta itself

Shapes: O out, I in, N rank.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from fedshow.concepts.keys import DOWN, UP
from fedshow.edlora.adapters import Adapter, Adapters

MATRIX = ".delta"


def deltas(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Each layer with its whole update `[O, I]`, float64."""
    for key, tensor in tensors.items():
        if key.endswith(MATRIX):
            yield key.removesuffix(MATRIX), tensor.double()
        elif key.endswith(DOWN):
            layer = key.removesuffix(DOWN)
            yield layer, tensors[layer + UP].double() @ tensor.double()


def as_adapters(tensors: Mapping[str, Tensor]) -> Adapters:
    """The update as adapters that can be turned up and down; a matrix is one with the identity."""
    found = dict(Adapters.from_tensors(tensors, scale=1.0).items())
    identities: dict[int, Tensor] = {}
    for key, tensor in tensors.items():
        if key.endswith(MATRIX):
            width = tensor.shape[1]
            identity = identities.setdefault(width, torch.eye(width))
            found[key.removesuffix(MATRIX)] = Adapter(identity, tensor.float())
    return Adapters(found, scale=1.0)
