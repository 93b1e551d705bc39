"""DARE: drop numbers at random and rescale the rest (Yu et al., ICML 2024, arXiv 2311.03099), as in peft.

What is left of the adapters is added up, as the paper does with task arithmetic.
"""

from hashlib import sha256
from threading import Lock

import torch
from torch import Tensor

from fedshow_server.fusion.sums import Layer, Solution

DENSITY = 0.5
ONE_AT_A_TIME = Lock()
"""There is one source of random numbers for all threads."""


def dare_merge(layer: Layer) -> Solution:
    """delta = Σ w_i drop(delta_i); what is dropped depends on the adapter alone, so order does not matter."""
    from peft.utils.merge_utils import dare_linear  # seconds to load, for this rule alone

    merged_OI = torch.zeros(layer.shape, dtype=torch.float64)
    for part in layer.parts(moments=False):
        delta_OI = part.delta_OI.cpu()  # where random numbers are the same everywhere
        with ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
            torch.manual_seed(_seed(delta_OI))
            weight = torch.tensor([part.weight], dtype=torch.float64)
            merged_OI += dare_linear([delta_OI], weight, DENSITY)
    return Solution(merged_OI.to(layer.sums.mean_OI), {"density": DENSITY})


def _seed(delta_OI: Tensor) -> int:
    """From values rounded as halves, so that the last bits of a product do not matter."""
    content = delta_OI.half().contiguous().numpy().tobytes()
    return int.from_bytes(sha256(content).digest()[:8], "big") >> 1
