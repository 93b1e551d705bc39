"""Plain sum of the adapters: what loading several LoRAs at once does."""

from collections.abc import Sequence

import torch

from fedshow_server.fusion.layer import Inputs, Part, Update, stack


def weight_sum(parts: Sequence[Part], inputs: Inputs | None = None) -> Update:  # noqa: ARG001
    """delta = Σ w_i delta_i."""
    down_NI = torch.cat([part.down_RI * part.weight for part in parts])
    return Update(down_NI, stack(parts)[1])
