"""How large the adapters of accepted concepts are, and which new ones are out of all proportion.

Shapes: O out, I in, R rank.
"""

from collections.abc import Mapping, Sequence
from statistics import median

import torch
from torch import Tensor

from fedshow_server.fusion.statistics import Statistics
from fedshow_server.fusion.unfusable import OddConcept

Norms = Mapping[str, float]
"""Layer to the spectral norm of a concept's update there: the most by which it changes any direction."""

FEWEST = 4
"""Concepts from which a bound can be learnt."""

MOST_OVER_MEDIAN = 10.0
"""Sixteen tuned toyworld concepts stay below 3 times the others' median, below 7.2 when it is that of four.
To move it, half of those who bring concepts would have to work together."""


def norms_of(statistics: Statistics) -> dict[str, float]:
    """The spectral norm of s·B·A for every layer that the concept adapts."""
    return {
        layer: statistics.scale * spectral_norm(down_RI, up_OR)
        for layer, (down_RI, up_OR) in statistics.adapters.items()
    }


def spectral_norm(down_RI: Tensor, up_OR: Tensor) -> float:
    """Of up @ down, without making that matrix."""
    left_RR = torch.linalg.qr(up_OR.double(), mode="r").R
    right_RR = torch.linalg.qr(down_RI.double().T, mode="r").R
    return float(torch.linalg.matrix_norm(left_RR @ right_RR.T, 2))


def check_norms(statistics: Statistics, accepted: Sequence[Norms]) -> None:
    """Raises OddConcept for an adapter that is many times as strong as is usual in its layer."""
    for layer, norm in norms_of(statistics).items():
        usual = [norms[layer] for norms in accepted if layer in norms]
        if len(usual) < FEWEST:
            continue
        limit = MOST_OVER_MEDIAN * median(usual)
        if norm > limit:
            raise OddConcept(
                statistics.name,
                f"layer {layer}: its update has spectral norm {norm:.3g}, "
                f"limit {limit:.3g} ({MOST_OVER_MEDIAN:g} times the median of {len(usual)} concepts)",
            )
