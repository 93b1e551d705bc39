"""The sums of one layer before they are multiplied out: of few concepts far smaller than the matrices.

Shapes: O out, I in, R rank of one adapter, N of all of a set, F = O + 3 I + 1. With all ups, weighted, side
by side as up_ON, and all down, down G and down H below each other, `LayerSums` are up_ON times each of these.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fedshow_server.fusion.sums import LayerSums, Part


def are_smaller(rank: int, width_in: int, width_out: int) -> bool:
    """Whether factors of this rank take less room than the sums: the one rule for which of them are kept."""
    return rank * row_width(width_in, width_out) < 3 * width_in * width_out + 1


def row_width(width_in: int, width_out: int) -> int:
    """F, the numbers in a row."""
    return width_out + 3 * width_in + 1


def rows_of(part: Part) -> Tensor:
    """`rows_RF` of a concept, whatever its weight: side by side upᵀ, down, down G, down H, and what each row
    gives of E|delta x|² on H.
    """
    assert part.fit_II is not None
    assert part.heldout_II is not None
    down_RI, up_RO = part.down_RI, part.up_OR.T
    heldout_RI = down_RI @ part.heldout_II
    signal_R = ((up_RO @ part.up_OR) * (heldout_RI @ down_RI.T)).sum(1)
    return torch.cat([up_RO, down_RI, down_RI @ part.fit_II, heldout_RI, signal_R[:, None]], 1)


@dataclass(frozen=True)
class Factors:
    """The rows of each concept of a set by itself, so that one that goes leaves nothing behind."""

    rows: Mapping[str, Tensor]

    def plus(self, name: str, part: Part) -> "Factors":
        """With this concept."""
        return Factors({**self.rows, name: rows_of(part)})

    def without(self, name: str) -> "Factors":
        """As if this concept had never been there."""
        return Factors({other: rows for other, rows in self.rows.items() if other != name})

    def stacked(self) -> Tensor:
        """`rows_NF` of all concepts, in order of name."""
        return torch.cat([rows for _, rows in sorted(self.rows.items())])

    def multiplied(self, weights: Mapping[str, float], width_in: int, width_out: int) -> LayerSums:
        """The sums with these weights."""
        rows_NF = self.stacked()
        names = [name for name, rows in sorted(self.rows.items()) for _ in range(len(rows))]
        weight_N = rows_NF.new_tensor([weights[name] for name in names])
        widths = [width_out, width_in, width_in, width_in, 1]
        up_NO, down_NI, fit_NI, heldout_NI, signal_N1 = torch.split(rows_NF, widths, 1)
        up_ON = up_NO.T * weight_N
        return LayerSums(
            wanted_OI=up_ON @ fit_NI,
            mean_OI=up_ON @ down_NI,
            heldout_wanted_OI=up_ON @ heldout_NI,
            signal=weight_N @ signal_N1[:, 0],
        )
