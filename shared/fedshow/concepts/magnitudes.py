"""How large a concept's numbers may be: one that overflows would break everybody's release.

Shapes: O out, I in, R rank.
"""

import math

import numpy as np
from numpy.typing import NDArray

from fedshow.errors import RefusedConcept

MAX_VALUE = 1000.0
"""Trained adapters and embeddings stay below 1; scales such as alpha 1 at rank 128 ask for more."""

MAX_UPDATE = 100.0
"""Frobenius norm of s·B·A over √min(O, I): 1 is as large as a rotation, and a base's layers are
about that large. Trained updates stay below 0.3; far above 100, sampling leaves what halves hold."""


def check_values(key: str, values: NDArray[np.float32]) -> None:
    """Raises RefusedConcept when a value is NaN, infinite or larger than any adapter needs."""
    if not np.isfinite(values).all():
        raise RefusedConcept(f"{key} contains NaN or infinity")
    if (largest := float(np.abs(values).max())) > MAX_VALUE:
        raise RefusedConcept(f"{key}: a value of size {largest:.4g}, limit {MAX_VALUE:g}")


def check_update(
    layer: str, down_RI: NDArray[np.float32], up_OR: NDArray[np.float32], scale: float
) -> None:
    """Raises RefusedConcept when the adapter changes its layer more than any trained one does."""
    size = scale * _product_norm(down_RI, up_OR) / math.sqrt(min(len(up_OR), down_RI.shape[1]))
    if size > MAX_UPDATE:
        raise RefusedConcept(
            f"{layer}: its update is {size:.4g} times as large as a rotation, limit {MAX_UPDATE:g}"
        )


def _product_norm(down_RI: NDArray[np.float32], up_OR: NDArray[np.float32]) -> float:
    """|B·A|² = trace of (BᵀB)(AAᵀ): nothing of the layer's own size is made."""
    down, up = down_RI.astype(np.float64), up_OR.astype(np.float64)
    return math.sqrt(max(0.0, float(((up.T @ up) * (down @ down.T)).sum())))
