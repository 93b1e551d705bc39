"""SSR-Merge: subspace signal routing (Wei et al., ICML 2026, arXiv 2606.10617).

With all adapters stacked, A [N, I] and B [O, N], only W - W_0 = B R A is allowed: a router R decides
which signals of the shared subspace reach which adapter's output. Least squares gives

    R = (Σ w_i E_i H_i) (Σ w_i H_i + λ m I)⁻¹ ,   H_i = A G_i Aᵀ

where E_i keeps concept i's rows and m is the mean diagonal. B Σ w_i E_i H_i is M Aᵀ with
M = Σ w_i delta_i G_i, so sums over concepts and all A are enough. λ is chosen per layer by unseen inputs
as for gradient fusion, which can only help it.
"""

import torch

from fedshow_server.fusion.rules.gradient import RIDGES
from fedshow_server.fusion.sums import Layer, Solution


def subspace_routing(layer: Layer) -> Solution:
    """The best router's update."""
    down_NI = torch.cat([part.down_RI for part in layer.parts(moments=False)])
    if layer.is_idle:
        return Solution(torch.zeros_like(layer.sums.mean_OI))
    values_N, vectors_NN = torch.linalg.eigh(down_NI @ layer.reads.fit_II @ down_NI.T)
    values_N = values_N.clamp(min=0)
    left_ON = layer.sums.wanted_OI @ down_NI.T @ vectors_NN
    right_NI = vectors_NN.T @ down_NI
    found = [
        Solution(left_ON / (values_N + ridge * values_N.mean()) @ right_NI, {"ridge": ridge})
        for ridge in RIDGES
    ]
    return min(found, key=lambda solution: layer.unseen_error(solution.delta_OI))
