"""Moments of SD 1.5's and SDXL's inputs in every precision, shape by shape: error against float64, and time
for all of one pass; and what it takes to decompose them, by the card and by one core: fusion leaves it to the
cores.

TF32 and bfloat16 are what inputs are rounded to; their products are added up in float32.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.timing import median_seconds
from fedshow_server.fusion.grams import PRECISIONS, Precision, default_precision, gram

Shapes = dict[tuple[int, int], int]
"""Tokens of one picture or text and width of what they are, with how many inputs are like it."""

FULL: dict[str, Shapes] = {
    "sd1": {(4096, 320): 20, (1024, 640): 20, (256, 1280): 20, (64, 1280): 4, (77, 768): 16},
    "sdxl": {(4096, 640): 40, (1024, 1280): 240, (77, 768): 24, (77, 1280): 64, (77, 2048): 11},
}
"""Of 512 and of 1024 pixels; SDXL's with those of its text encoders."""

TINY: dict[str, Shapes] = {"sd1": {(64, 32): 4, (16, 64): 4}, "sdxl": {(64, 64): 4, (8, 128): 2}}
PICTURES = {"cuda": 16, "cpu": 1}


def measure(device: str, tiny: bool) -> Iterator[dict[str, Any]]:
    """Per precision seconds and the largest relative error; `gram_loss` is that of the default.

    A precision is enough while no moment is further off than 1e-3: see `fedshow_server.fusion.grams`.
    """
    families, pictures = (TINY if tiny else FULL), 1 if tiny else PICTURES[device]
    default = default_precision(torch.device(device))
    for precision in PRECISIONS:
        found: dict[str, Any] = {}
        for family, shapes in families.items():
            found |= _precision(precision, family, shapes, device, pictures, 3 if tiny else 10)
        error = max(value for name, value in found.items() if "_error_" in name)
        loss = {"gram_default": default, "gram_loss": error} if precision == default else {}
        yield found | {f"gram_error_{precision}": error} | loss
    torch.set_num_threads(1)
    yield _decompositions(device, [shape for shapes in families.values() for shape in shapes])


def _precision(
    precision: Precision, family: str, shapes: Shapes, device: str, pictures: int, repeats: int
) -> dict[str, float]:
    """Seconds for all inputs of a family, and each shape's error."""
    seconds, found = 0.0, {}
    for (tokens, width), count in shapes.items():
        inputs = _inputs(pictures * tokens, width, device)
        seconds += count * median_seconds(partial(gram, inputs, precision), repeats)
        found[f"gram_error_{precision}_{tokens}x{width}"] = _error(inputs, precision)
    suffix = "" if family == "sd1" else f"_{family}"
    return found | {f"gram_seconds_{precision}{suffix}": seconds}


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
