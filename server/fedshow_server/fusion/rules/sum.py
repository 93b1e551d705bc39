"""Plain sum of the adapters: what loading several LoRAs at once does."""

from collections.abc import Sequence

import torch

from fedshow_server.fusion.layer import Inputs, Part, Update


def weight_sum(parts: Sequence[Part], inputs: Inputs | None = None) -> Update:  # noqa: ARG001
    """delta = Σ w_i delta_i."""
    return Update(
        torch.cat([part.down_RI for part in parts]),
        torch.cat([part.up_OR * part.weight for part in parts], dim=1),
    )
