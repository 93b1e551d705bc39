"""Gradient fusion as Mix-of-Show does it (arXiv 2305.18292, section 3.3), for comparison.

The paper minimises Σ ‖(W_0 + delta_i) X_i - W X_i‖² by L-BFGS, starting from the base's W_0: 500
iterations for layers that read text features, 50 for the others. It keeps every input X_i; here the
same function is computed from second moments, Σ w_i E|(delta - delta_i) x_i|² with delta = W - W_0,
whose value and gradient at any delta are those of the paper's up to the inputs' number. An iteration
then costs two small products instead of passes over all inputs: times of this rule flatter it.
"""

import torch
from torch import Tensor

from fedshow_server.fusion.sums import Layer, Solution

TEXT_ITERATIONS = 500
OTHER_ITERATIONS = 50


def lbfgs_fusion(layer: Layer) -> Solution:
    """What is reached after the paper's number of iterations."""
    iterations = TEXT_ITERATIONS if reads_text(layer.input_name) else OTHER_ITERATIONS
    moment_II, wanted_OI = layer.reads.fit_II, layer.sums.wanted_OI
    delta_OI = torch.zeros_like(wanted_OI).requires_grad_()
    optimizer = papers_optimizer(delta_OI, iterations)

    def closure() -> Tensor:
        """|update|² - 2 update·wanted: the objective, but for a constant."""
        moved_OI = delta_OI.detach() @ moment_II
        delta_OI.grad = 2 * (moved_OI - wanted_OI)
        return (delta_OI.detach() * (moved_OI - 2 * wanted_OI)).sum()

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return Solution(delta_OI.detach(), {"iterations": iterations})


def papers_optimizer(delta_OI: Tensor, iterations: int) -> torch.optim.LBFGS:
    """L-BFGS with the settings of the paper's code."""
    return torch.optim.LBFGS(
        [delta_OI],
        max_iter=iterations,
        tolerance_grad=1e-16,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )


def reads_text(input_name: str) -> bool:
    """Whether this is an input of the text encoder's layers, or its features."""
    return input_name.startswith("text_encoder") or input_name.endswith(".context")
