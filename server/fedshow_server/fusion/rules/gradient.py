"""Gradient fusion solved exactly (objective: Mix-of-Show, arXiv 2305.18292, section 3.3).

Minimises Σ w_i E|(delta - delta_i) x_i|² + μ E|delta x_0|² + λ m |delta - τ mean|², where x_i are
concept i's inputs, x_0 those of generic prompts, m the mean diagonal of the summed moments, mean
the weighted mean of the adapters and τ is 0 (shrink to the base) or 1 (to the mean; IterIS, CVPR
2025). With M = Σ w_i delta_i G_i the optimum is

    delta = (M + λ m τ mean) S⁻¹ ,   S = Σ w_i G_i + μ G_0 + λ m I

λ, μ and τ are chosen per layer by inputs that the fit has not seen: the optimum on the recorded
ones overfits until the pictures break. Everything is sums over concepts: the cost is the same for
any number of them.

Cross-attention's queries are fused from their other side. What a query layer reads, picture features, is
much alike for all concepts, so that the sum over inputs makes a compromise of all its adapters; but a
query q = W x matters by its products with the keys k that it meets, which differ. Asking for those,
Σ w_i E|(delta - delta_i)ᵀ k_i|², is the same problem with transposed adapters and the keys' moments,
head by head, without each text's mean, which softmax takes out.

One eigendecomposition of S per μ serves every λ and τ, and every layer of one
input; in its basis the error of a candidate costs a few products of vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedshow_server.fusion.sums import Layer, Solution

RIDGES = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 1e8)
"""The last one leaves the base, or the weighted mean: never worse than averaging on unseen inputs."""

GUARDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
TARGETS = (0.0, 1.0)


@dataclass(frozen=True)
class Choice:
    """One setting of the regularisation: μ, λ and τ."""

    guard: float
    """μ / Σ w_i: generic prompts count this many times as much as all concepts together."""
    ridge: float
    toward_mean: float


def gradient_fusion(layer: Layer) -> Solution:
    """The optimum under the regularisation that serves unseen inputs best, or unseen keys."""
    if layer.turned is not None:
        other = gradient_fusion(layer.turned)
        return Solution(other.delta_OI.T, other.settings)
    if layer.is_idle:
        return Solution(torch.zeros_like(layer.sums.mean_OI))
    best = best_choice(layer)
    basis = Eigenbasis(layer, best.guard)
    return Solution(
        basis.optimum(best.ridge, best.toward_mean),
        {
            "ridge": best.ridge,
            "guard": best.guard,
            "toward_mean": best.toward_mean,
            "condition": basis.condition(best.ridge),
        },
    )


def best_choice(layer: Layer) -> Choice:
    """The regularisation that serves unseen inputs best."""
    errors: dict[Choice, float] = {}
    for guard in GUARDS:
        errors |= Eigenbasis(layer, guard).unseen_errors(RIDGES, TARGETS)
    return min(errors, key=lambda choice: errors[choice])


class Eigenbasis:
    """One layer in the eigenvectors of its summed moments."""

    def __init__(self, layer: Layer, guard: float) -> None:
        self.layer, self.guard = layer, guard
        self.values_I, self.vectors_II = layer.reads.spectrum(guard * layer.reads.weight)
        self.level = float(self.values_I.mean()) or 1.0
        self.wanted_OI = layer.sums.wanted_OI @ self.vectors_II
        self.mean_OI = layer.sums.mean_OI @ self.vectors_II / layer.reads.weight

    def optimum(self, ridge: float, toward_mean: float) -> Tensor:
        """The update `[O, I]`."""
        pull = ridge * self.level
        right_OI = self.wanted_OI + pull * toward_mean * self.mean_OI
        return right_OI / (self.values_I + pull) @ self.vectors_II.T

    def divide(self, rows_RI: Tensor, ridge: float) -> Tensor:
        """rows S⁻¹"""
        shifted_I = self.values_I + ridge * self.level
        return rows_RI @ self.vectors_II / shifted_I @ self.vectors_II.T

    def condition(self, ridge: float) -> float:
        """How unevenly the inputs determine the update."""
        shifted_I = self.values_I + ridge * self.level
        return float(shifted_I.max() / shifted_I.min())

    def unseen_errors(
        self, ridges: Sequence[float], targets: Sequence[float]
    ) -> dict[Choice, float]:
        """`Layer.unseen_error` of every choice."""
        layer, vectors_II = self.layer, self.vectors_II
        share, still = 1 / float(layer.sums.signal), layer.drift_counts / layer.typical
        heard_II = share * layer.reads.heldout_II + still * layer.reads.generic_heldout_II
        judged_II = vectors_II.T @ heard_II @ vectors_II
        goal_OI = share * layer.sums.heldout_wanted_OI @ vectors_II
        ways = (self.wanted_OI, self.mean_OI)
        pulls_L = self.level * self.values_I.new_tensor(ridges)
        small_LI = 1 / (self.values_I + pulls_L[:, None])
        own_L, mixed_L, mean_L = (
            ((small_LI @ ((a.T @ b) * judged_II)) * small_LI).sum(1)
            for a, b in ((ways[0], ways[0]), ways, (ways[1], ways[1]))
        )
        own_line_L, mean_line_L = (small_LI @ (way_OI * goal_OI).sum(0) for way_OI in ways)
        errors = {}
        for target in targets:
            share_L = pulls_L * target  # of the mean in the update, a mixture of the two ways
            squares_L = own_L + 2 * share_L * mixed_L + share_L.square() * mean_L
            found_L = squares_L - 2 * (own_line_L + share_L * mean_line_L) + 1
            for ridge, error in zip(ridges, found_L.tolist(), strict=True):
                errors[Choice(self.guard, ridge, target)] = error
        return errors
