"""Weighted mean of the adapters: what Mix-of-Show (section 4, table 2) compares against."""

from collections.abc import Sequence

import torch

from fedshow_server.fusion.layer import Inputs, Part, Update, stack


def weight_average(parts: Sequence[Part], inputs: Inputs | None = None) -> Update:  # noqa: ARG001
    """delta = Σ w_i delta_i / Σ w_i."""
    total = sum(part.weight for part in parts)
    down_NI = torch.cat([part.down_RI * (part.weight / total) for part in parts])
    return Update(down_NI, stack(parts)[1])
