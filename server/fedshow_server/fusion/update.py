"""A layer's fused update in the form that is smaller: an exact LoRA, or one matrix.

Shapes: O out, I in, R rank of one adapter, N rank of the fused update.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fedshow.concepts.keys import DOWN, UP
from fedshow.releases.updates import MATRIX
from fedshow_server.fusion.sums import Part

EXACT = 1e-9
"""Largest part of an update that may lie outside of what its LoRA can say."""


@dataclass(frozen=True)
class Update:
    """delta = up @ down, or, where that would be larger, `down_NI` is None and delta = `up_ON`."""

    up_ON: Tensor
    down_NI: Tensor | None
    settings: dict[str, float | str] = field(default_factory=dict)

    @property
    def delta_OI(self) -> Tensor:
        """The update as one matrix."""
        return self.up_ON if self.down_NI is None else self.up_ON @ self.down_NI

    @property
    def turned(self) -> "Update":
        """Transposed."""
        if self.down_NI is None:
            return Update(self.up_ON.T, None, self.settings)
        return Update(self.down_NI.T, self.up_ON.T, self.settings)

    @property
    def rank(self) -> int:
        """Rank as a LoRA; of a matrix, the smaller of its edges."""
        return min(self.up_ON.shape)

    def tensors(self, layer: str) -> dict[str, Tensor]:
        """Keys and values as in a release's fused.safetensors."""
        if self.down_NI is None:
            return {layer + MATRIX: self.up_ON}
        return {layer + DOWN: self.down_NI, layer + UP: self.up_ON}


def tensors_of(updates: Mapping[str, Update]) -> dict[str, Tensor]:
    """All layers' updates as a release keeps them."""
    found: dict[str, Tensor] = {}
    for layer, update in updates.items():
        found |= update.tensors(layer)
    return found


def smallest(
    delta_OI: Tensor, parts: Iterable[Part], settings: dict[str, float | str] | None = None
) -> Update:
    """The update in its smaller form.

    Most rules only mix the adapters' outputs, or, for queries, their inputs, so that the update is an exact
    LoRA of rank Σ R: what lies in the span of all ups, or of all downs, loses nothing. Both factors come
    equally large, for halves.
    """
    settings = settings or {}
    adapters = _stacked(delta_OI.shape, parts)
    if adapters is not None:
        up_ON, down_NI = adapters
        if (found := _factors(delta_OI, up_ON)) is not None:
            return Update(*found, settings)
        if (found := _factors(delta_OI.T, down_NI.T)) is not None:
            return Update(*found, settings).turned
    return Update(delta_OI, None, settings)


def _factors(delta_OI: Tensor, up_ON: Tensor) -> tuple[Tensor, Tensor] | None:
    """The update as up @ down; None when it does not lie in the span of these columns."""
    span_ON = torch.linalg.qr(up_ON).Q
    core_NI = span_ON.T @ delta_OI
    if (span_ON @ core_NI - delta_OI).norm() > EXACT * delta_OI.norm():
        return None
    left_NN, values_N, right_NI = torch.linalg.svd(core_NI, full_matrices=False)
    rank = max(1, int((values_N > 1e-12 * values_N.max()).sum()))
    root_N = values_N[:rank].sqrt()
    return span_ON @ left_NN[:, :rank] * root_N, root_N[:, None] * right_NI[:rank]


def _stacked(shape: torch.Size, parts: Iterable[Part]) -> tuple[Tensor, Tensor] | None:
    """All ups side by side, all downs below each other; None as soon as they say that a matrix is smaller."""
    width_out, width_in = shape
    found = []
    rank = 0
    for part in parts:
        found.append(part)
        rank += part.up_OR.shape[1]
        if rank * (width_out + width_in) >= width_out * width_in:
            return None
    if not rank:
        nothing = found[0].up_OR.new_zeros(1)
        return nothing.expand(width_out, 1), nothing.expand(1, width_in)
    return torch.cat([p.up_OR for p in found], 1), torch.cat([p.down_RI for p in found])
