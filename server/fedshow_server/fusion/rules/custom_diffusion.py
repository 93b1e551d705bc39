"""Constrained merge of keys and values (Custom Diffusion, Kumari et al., CVPR 2023, section 3.3).

    min ‖(W - W_0) C_reg‖²   such that   W C = V

C are the text features of all concepts' words, V what each concept's own matrices make of its own, and
C_reg features of captions without a concept. With delta = W - W_0 and G_0 = E[c cᵀ] over C_reg the
closed form is delta = V' (Cᵀ G_0⁻¹ C)⁻¹ Cᵀ G_0⁻¹, V' = [delta_1 C_1 … delta_n C_n].

The paper's C are features of single words; here they are the main directions of what the layer reads
while a concept is drawn, the eigenvectors of G_i, at most I / n of them, so that all constraints can
hold. They hold exactly, whatever the weights.
"""

import torch
from torch import Tensor

from fedshow_server.fusion.sums import Layer, Part, Solution

MAIN = 1e-3
"""A direction counts from this share of the strongest one's energy."""


def constrained_merge(layer: Layer) -> Solution:
    """The smallest change on captions without a concept that gives each concept its own values."""
    most = max(1, layer.shape[1] // layer.reads.concepts)
    features, values = [], []
    for part in layer.parts():
        own_IK = main_directions(part, most)
        features.append(own_IK)
        values.append(part.delta_OI @ own_IK)
    features_IK, values_OK = torch.cat(features, 1), torch.cat(values, 1)
    carried_IK = torch.linalg.solve(_definite(layer.reads.generic_II), features_IK)
    inverse_KK = torch.linalg.pinv(features_IK.T @ carried_IK, hermitian=True, rtol=1e-9)
    return Solution(values_OK @ inverse_KK @ carried_IK.T, {"constraints": features_IK.shape[1]})


def main_directions(part: Part, most: int) -> Tensor:
    """The strongest directions of a concept's own inputs, as columns `[I, K]`."""
    assert part.fit_II is not None
    values_I, vectors_II = torch.linalg.eigh(part.fit_II)
    count = min(most, int((values_I > MAIN * values_I[-1]).sum()))
    strongest_IK: Tensor = vectors_II[:, len(values_I) - count :]
    return strongest_IK


def _definite(moment_II: Tensor) -> Tensor:
    """With a little of every direction, for captions never use all."""
    level = float(moment_II.diagonal().mean()) or 1.0
    return moment_II + 1e-6 * level * torch.eye(len(moment_II)).to(moment_II)
