"""Gradient fusion solved exactly (objective: Mix-of-Show, arXiv 2305.18292, section 3.3).

Minimises Σ w_i E|(delta - delta_i) x_i|² + μ E|delta x_0|² + λ m |delta - τ mean|², where x_i are
concept i's inputs, x_0 those of generic prompts, m the mean diagonal of the summed moments and τ
is 0 (shrink to the base) or 1 (to the weighted mean of the adapters; IterIS, CVPR 2025).
Every term starts with some up_i, so the optimum is a LoRA of rank Σ r_i:

    down'_i = (w_i down_i G_i + λ m τ w_i/Σw down_i) S⁻¹ ,   S = Σ w_i G_i + μ G_0 + λ m I

λ, μ and τ are chosen per layer by inputs that the fit has not seen: the optimum on the recorded
ones overfits until the pictures break.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedshow_server.fusion.layer import Inputs, Part, Update, energy, residuals, stack

RIDGES = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 1e4)
"""The last one leaves the base, or the weighted mean: never worse than averaging on unseen inputs."""

GUARDS = (0.1, 0.3, 1.0)
TARGETS = (0.0, 1.0)


@dataclass(frozen=True)
class Choice:
    """One setting of the regularisation and the optimum under it."""

    ridge: float
    guard: float
    toward_mean: float
    down_NI: Tensor
    condition: float


def gradient_fusion(parts: Sequence[Part], inputs: Inputs | None) -> Update:
    """The optimum under the regularisation that serves unseen inputs best."""
    assert inputs is not None, "gradient fusion needs recorded inputs"
    choices = list(solutions(parts, inputs, RIDGES, GUARDS, TARGETS))
    best = min(choices, key=lambda choice: unseen_error(parts, inputs, choice.down_NI))
    settings: dict[str, float | str] = {
        "ridge": best.ridge,
        "guard": best.guard,
        "toward_mean": best.toward_mean,
        "condition": best.condition,
    }
    return Update(best.down_NI, stack(parts)[1], settings)


def unseen_error(parts: Sequence[Part], inputs: Inputs, down_NI: Tensor) -> float:
    """Mean relative error on held-out inputs; the base's prompts count as one more concept."""
    errors, signals = residuals(parts, down_NI, inputs.heldout)
    typical = sum(signals) / len(signals)
    if typical == 0:
        return 0.0
    drift = energy(stack(parts)[1], down_NI, inputs.generic_heldout) / typical
    relative = [e / s if s else 0.0 for e, s in zip(errors, signals, strict=True)]
    return (sum(relative) + drift) / (len(parts) + 1)


def solutions(
    parts: Sequence[Part],
    inputs: Inputs,
    ridges: Sequence[float],
    guards: Sequence[float],
    targets: Sequence[float],
) -> Iterator[Choice]:
    """The exact optimum for every combination; one eigendecomposition serves all ridges."""
    weights = [part.weight for part in parts]
    moment = sum(w * g for w, g in zip(weights, inputs.fit, strict=True))
    wanted_IN = torch.cat(
        [w * g @ p.down_RI.T for w, g, p in zip(weights, inputs.fit, parts, strict=True)], dim=1
    )
    mean_IN = torch.cat(
        [p.down_RI.T * (w / sum(weights)) for w, p in zip(weights, parts, strict=True)], 1
    )
    for guard in guards:
        values, vectors = torch.linalg.eigh(moment + guard * inputs.generic)
        values = values.clamp(min=0)
        level = float(values.mean())
        for ridge in ridges:
            shifted = values + ridge * level if level else torch.ones_like(values)
            for target in targets:
                right = wanted_IN + ridge * level * target * mean_IN
                down = (vectors @ ((vectors.T @ right) / shifted[:, None])).T
                condition = float(shifted.max() / shifted.min())
                yield Choice(ridge, guard, target, down, condition)
