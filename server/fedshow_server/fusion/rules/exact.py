"""The optimum of the paper's objective itself (Mix-of-Show, arXiv 2305.18292, section 3.3), for comparison.

    delta = M (S + λ m I)⁻¹ ,   M = Σ w_i delta_i G_i ,   S = Σ w_i G_i

with λ as small as float64 solves well: what L-BFGS approaches. No update fits the recorded inputs
better, and this one overfits them: see `gradient`.
"""

import torch
from torch import Tensor

from fedshow_server.fusion.sums import Layer, Solution

RIDGES = (1e-10, 1e-8, 1e-6, 1e-4, 1e-2)
"""λ, times the mean m of S' diagonal: the first that makes S positive definite in float64."""


def exact_fusion(layer: Layer) -> Solution:
    """The smallest update among those that fit best, by one Cholesky factorisation."""
    moment_II = layer.reads.fit_II
    level = float(moment_II.diagonal().mean())
    for ridge in RIDGES if level else ():
        pulled_II = moment_II + ridge * level * torch.eye(len(moment_II)).to(moment_II)
        factor_II, failed = torch.linalg.cholesky_ex(pulled_II)
        if not int(failed):
            return Solution(_solved(factor_II, layer.sums.wanted_OI), {"ridge": ridge})
    return Solution(torch.zeros_like(layer.sums.wanted_OI))


def _solved(factor_II: Tensor, wanted_OI: Tensor) -> Tensor:
    return torch.cholesky_solve(wanted_OI.T, factor_II).T
