"""Gradients through float16, whose smallest numbers are larger than many of them (arXiv 1710.03740).

Where others adapt the scale over the run and skip steps, every step begins at the same scale and is computed
again at a smaller one when that was too large: a step depends on nothing but its number, as ever.
"""

import torch

from fedshow_client.tuning.optimizing import JoinedAdamW

UNSCALED = (1.0,)
SCALES = (2.0**14, 2.0**9, 2.0**4, *UNSCALED)
"""Powers of two, which change no digit; the largest first."""


def scales_for(precision: torch.dtype) -> tuple[float, ...]:
    """What a loss is multiplied by, one after the other, until all gradients are numbers."""
    return SCALES if precision == torch.float16 else UNSCALED


@torch.no_grad()
def unscale(optimizer: JoinedAdamW, scale: float) -> bool:
    """Gradients as of the loss itself; whether all are numbers. When not, they are zero again."""
    gradients = [group["params"][0].grad for group in optimizer.param_groups]
    if all(bool(gradient.isfinite().all()) for gradient in gradients):
        for gradient in gradients:
            gradient.div_(scale)
        return True
    optimizer.zero_grad(set_to_none=False)
    return False
