"""Second moments of what layers read: nothing that is recorded grows with prompts or steps.

Shapes: T inputs, I their width; moments are `[I, I]` float64.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from fedshow_server.fusion.grams import Precision, default_precision, gram


@dataclass
class Moments:
    """Weighted sums of x xᵀ per input name, of their weights, and how many x went in."""

    precision: Precision | None = None
    home: torch.device | None = None
    """Where sums lie; None: where inputs are."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    heads: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, inputs: Tensor, weights: Tensor | None = None, heads: int = 1) -> None:
        """Adds inputs `[..., I]`, each as often as its weight `[...]` says; `heads` never meet each other."""
        x_TI = inputs.reshape(-1, inputs.shape[-1])
        if weights is not None:
            x_TI = x_TI * weights.reshape(-1, 1).sqrt().to(x_TI.dtype)
        added_II = gram(x_TI, self.precision or default_precision(x_TI.device))
        added_II = added_II.to(self.home or added_II.device)
        found_II = self.sums.get(name)
        self.sums[name] = added_II if found_II is None else found_II.add_(added_II)
        total = len(x_TI) if weights is None else float(weights.sum())
        self.weights[name] = self.weights.get(name, 0.0) + total
        self.counts[name] = self.counts.get(name, 0) + len(x_TI)
        self.heads[name] = heads

    def mean(self, name: str) -> Tensor:
        """E[x xᵀ], `[I, I]` float64 where x was; nothing but zeros between heads."""
        mean_II, heads = self.sums[name] / self.weights[name], self.heads[name]
        if heads == 1:
            return mean_II
        head_I = torch.arange(len(mean_II), device=mean_II.device) // (len(mean_II) // heads)
        return mean_II * (head_I[:, None] == head_I)

    def means(self) -> dict[str, Tensor]:
        """E[x xᵀ] of every input; the sums are given up for them, one by one."""
        found = {}
        for name in list(self.sums):
            found[name] = self.mean(name)
            del self.sums[name]
        return found
