"""`identities.likeness` for a whole batch at once, on tensors of traits."""

from __future__ import annotations

import torch
from torch import Tensor

from fedshow.toyworld.training.identities import COLOUR_REACH, DROPS


def likeness_matrix(traits_NT: Tensor) -> Tensor:
    """N × N target cosines of characters given by `traits_of`."""
    kind, pattern, accessory, mark = (_same(traits_NT[:, i]) for i in range(4))
    colours = [_colour_likeness(traits_NT[:, 4 + 3 * i : 7 + 3 * i]) for i in range(4)]
    result = 1 - DROPS["kind"] * (1 - kind)
    result = result * (1 - DROPS["colour"] * (1 - colours[0]))
    parts = (("pattern", pattern, 1), ("accessory", accessory, 2), ("mark", mark, 3))
    for name, same, column in parts:
        bare = traits_NT[:, column] == 0
        alike = torch.where(bare[:, None] & bare[None], 1.0, 0.4 + 0.6 * colours[column])
        result = result * (1 - DROPS[name] * (1 - same * alike))
    return result


def _same(values_N: Tensor) -> Tensor:
    return (values_N[:, None] == values_N[None]).float()


def _colour_likeness(colours_N3: Tensor) -> Tensor:
    distance = torch.cdist(colours_N3.float(), colours_N3.float())
    return (1 - distance / COLOUR_REACH).clamp(min=0)
