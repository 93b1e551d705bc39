"""One adapted layer as a fusion rule sees it, and what a rule returns.

Shapes: O out, I in, R rank of one adapter, N sum of the ranks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Part:
    """One concept's adapter of this layer: delta_OI = up_OR @ down_RI, scale already in `up_OR`."""

    down_RI: Tensor
    up_OR: Tensor
    weight: float = 1.0


@dataclass(frozen=True)
class Inputs:
    """Second moments of what the layer reads, each `[I, I]` float64, mean over inputs.

    `fit[i]` and `heldout[i]` come from concept i's own single-concept model and differ in prompts
    and seeds; the generic ones come from the base on prompts without a concept.
    """

    fit: Sequence[Tensor]
    heldout: Sequence[Tensor]
    generic: Tensor
    generic_heldout: Tensor


@dataclass(frozen=True)
class Update:
    """The fused update as an exact LoRA: delta_OI = up_ON @ down_NI, and how it was chosen.

    `up_ON` is always the adapters' own ups side by side; a rule chooses `down_NI`.
    """

    down_NI: Tensor
    up_ON: Tensor
    settings: dict[str, float | str] = field(default_factory=dict)


Fusion = Callable[[Sequence[Part], Inputs | None], Update]
"""A rule: adapters and inputs of one layer to its fused update; pure, float64 in and out."""


def stack(parts: Sequence[Part]) -> tuple[Tensor, Tensor]:
    """All adapters of a layer side by side: down `[N, I]`, up `[O, N]`."""
    return torch.cat([p.down_RI for p in parts]), torch.cat([p.up_OR for p in parts], dim=1)


def energy(up_ON: Tensor, down_NI: Tensor, moment_II: Tensor) -> float:
    """Mean of |up @ down @ x|² over inputs x with the given second moment."""
    return float(((up_ON.T @ up_ON) * (down_NI @ moment_II @ down_NI.T)).sum())


def residuals(
    parts: Sequence[Part], down_NI: Tensor, moments: Sequence[Tensor]
) -> tuple[list[float], list[float]]:
    """Per concept |(delta - delta_i) x|² and |delta_i x|², means over that concept's inputs."""
    _, up_ON = stack(parts)
    errors, signals, start = [], [], 0
    for part, moment in zip(parts, moments, strict=True):
        own = slice(start, start := start + len(part.down_RI))
        difference = down_NI.clone()
        difference[own] -= part.down_RI
        errors.append(energy(up_ON, difference, moment))
        signals.append(energy(part.up_OR, part.down_RI, moment))
    return errors, signals
