"""Moments of SD 1.5's inputs in every precision, time for all of one pass and error; and what it takes to
decompose them, by the card and by one core: fusion leaves it to the cores.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.timing import median_seconds
from fedshow_server.fusion.grams import PRECISIONS, Precision, default_precision, gram

# Tokens of one picture of 512 pixels and width of what they are, with how many inputs of a pass are like it.
FULL = {(4096, 320): 20, (1024, 640): 20, (256, 1280): 20, (64, 1280): 4, (77, 768): 16}
TINY = {(64, 32): 4, (16, 64): 4}
PICTURES = {"cuda": 16, "cpu": 1}


def measure(device: str, tiny: bool) -> Iterator[dict[str, Any]]:
    """Per precision seconds and the largest relative error; `gram_loss` is that of the default.

    A precision is enough while no moment is further off than 1e-3: see `fedshow_server.fusion.grams`.
    """
    shapes, pictures = (TINY if tiny else FULL), 1 if tiny else PICTURES[device]
    default = default_precision(torch.device(device))
    for precision in PRECISIONS:
        seconds, errors = 0.0, []
        for (tokens, width), count in shapes.items():
            inputs = _inputs(pictures * tokens, width, device)
            seconds += count * median_seconds(partial(gram, inputs, precision), 3 if tiny else 10)
            errors.append(_error(inputs, precision))
        loss = {"gram_default": default, "gram_loss": max(errors)} if precision == default else {}
        yield {f"gram_seconds_{precision}": seconds, f"gram_error_{precision}": max(errors)} | loss
    torch.set_num_threads(1)
    yield _decompositions(device, shapes)


def _decompositions(device: str, shapes: Iterable[tuple[int, int]]) -> dict[str, float]:
    found = {}
    for width in sorted({width for _, width in shapes}):
        moment_II = gram(_inputs(4 * width, width, "cpu"), "float64")
        for name, where in (("card", moment_II.to(device)), ("core", moment_II)):
            found[f"eigh_{width}_{name}_seconds"] = median_seconds(
                partial(torch.linalg.eigh, where), 3
            )
    return found


def _inputs(tokens: int, width: int, device: str) -> Tensor:
    """As uneven as activations are: some directions a thousand times stronger than others."""
    generator = torch.Generator().manual_seed(width)
    strength = torch.logspace(0, -3, width)
    return (torch.randn(tokens, width, generator=generator) * strength + 0.1).to(device)


def _error(inputs: Tensor, precision: Precision) -> float:
    exact = gram(inputs, "float64")
    return float((gram(inputs, precision) - exact).norm() / exact.norm())
