"""Which concept spoils which: the error of the exact optimum, taken apart.

With S = Σ w_j G_j + μ G_0 + λ m I the optimum of gradient fusion misses concept i by

    delta - delta_i = Σ_j w_j (delta_j - delta_i) (G_j + λ m τ / Σw I) S⁻¹
                      - delta_i (μ G_0 + λ m (1 - τ) I) S⁻¹

exactly: one term for every other concept that wants something else of the same inputs, nothing for one
that wants the same, and one for the regularisation. Shapes: O out, I in, R rank of one adapter.
"""

import torch
from torch import Tensor

from fedshow_server.fusion.rules.gradient import Choice, Eigenbasis, best_choice
from fedshow_server.fusion.sums import Layer, Part, low_rank_energy

Term = tuple[Tensor, Tensor]
"""`up_OR` and `down_RI` of one term of the error."""


def crosstalk(layer: Layer, choice: Choice | None) -> list[list[float]]:
    """Row i, column j: energy of j's term on concept i's unseen inputs, over that of what i wants there.

    On the diagonal what regularisation costs. It belongs to the concepts, not to the rule that fuses them;
    `choice` is the regularisation, None: the best.
    """
    if layer.is_idle:
        return [[0.0] * layer.reads.concepts for _ in range(layer.reads.concepts)]
    terms = error_terms(layer, choice or best_choice(layer))
    return [[_relative(*term, part) for term in terms[i]] for i, part in enumerate(layer.parts())]


def error_terms(layer: Layer, choice: Choice) -> list[list[Term]]:
    """Row i: the terms whose sum is how the optimum misses concept i."""
    basis = Eigenbasis(layer, choice.guard)
    pull = choice.ridge * basis.level
    adapters = list(layer.parts(moments=False))
    ranks = [len(own.down_RI) for own in adapters]
    downs_NI = torch.cat([own.down_RI for own in adapters])
    guard = choice.guard * layer.reads.weight
    kept_II = guard * layer.reads.generic_II + _identity(layer, pull * (1 - choice.toward_mean))
    kept = torch.split(basis.divide(downs_NI @ kept_II, choice.ridge), ranks)
    terms: list[list[Term]] = [[] for _ in adapters]
    for j, part in enumerate(layer.parts()):
        assert part.fit_II is not None
        seen_II = part.weight * (
            part.fit_II + _identity(layer, pull * choice.toward_mean / layer.reads.weight)
        )
        carried = torch.split(basis.divide(downs_NI @ seen_II, choice.ridge), ranks)
        for i, own in enumerate(adapters):
            if i == j:
                terms[i].append((own.up_OR, -kept[i]))
            else:
                up_OR = torch.cat([part.up_OR, -own.up_OR], dim=1)
                terms[i].append((up_OR, torch.cat([carried[j], carried[i]])))
    return terms


def _identity(layer: Layer, size: float) -> Tensor:
    return size * torch.eye(layer.shape[1], dtype=torch.float64, device=layer.sums.signal.device)


def _relative(up_OR: Tensor, down_RI: Tensor, part: Part) -> float:
    assert part.heldout_II is not None
    wanted = low_rank_energy(part.up_OR, part.down_RI, part.heldout_II)
    return ratio(low_rank_energy(up_OR, down_RI, part.heldout_II), wanted)


def ratio(value: float, reference: float) -> float:
    """As it stands in reports."""
    return round(value / reference, 5) if reference else 0.0
