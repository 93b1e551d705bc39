"""Fusion's part of `make bench-gpu`: moments of SD 1.5's inputs in every precision, time and error.

`python -m benchmarks.gpu_fusion --tiny --device cpu` runs every line of it at toy size: no figures, but
proof that it works where no card is at hand.
"""

import argparse
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.report import print_table
from benchmarks.timing import median_seconds
from fedshow_server.fusion.grams import PRECISIONS, Precision, default_precision, gram

# Tokens of one picture of 512 pixels and width of what they are, with how many inputs of a pass are like it.
FULL = {(4096, 320): 20, (1024, 640): 20, (256, 1280): 20, (64, 1280): 4, (77, 768): 16}
TINY = {(64, 32): 4, (16, 64): 4}
PICTURES = {"cuda": 16, "cpu": 1}
LARGEST_LOSS = 1e-3
"""A precision is enough while no moment is further off than this: see `fedshow_server.fusion.grams`."""


def measure(device: str, tiny: bool = False) -> dict[str, Any]:
    """Per precision: seconds for all moments of one pass, and the largest relative error of one."""
    shapes, pictures = (TINY if tiny else FULL), 1 if tiny else PICTURES[device]
    figures: dict[str, Any] = {"gram_default": default_precision(torch.device(device))}
    for precision in PRECISIONS:
        seconds, errors = 0.0, []
        for (tokens, width), count in shapes.items():
            inputs = _inputs(pictures * tokens, width, device)
            seconds += count * median_seconds(partial(gram, inputs, precision), 3 if tiny else 10)
            errors.append(_error(inputs, precision))
        figures[f"gram_seconds_{precision}"] = seconds
        figures[f"gram_error_{precision}"] = max(errors)
    return figures


def _inputs(tokens: int, width: int, device: str) -> Tensor:
    """As uneven as activations are: some directions a thousand times stronger than others."""
    generator = torch.Generator().manual_seed(width)
    strength = torch.logspace(0, -3, width)
    return (torch.randn(tokens, width, generator=generator) * strength + 0.1).to(device)


def _error(inputs: Tensor, precision: Precision) -> float:
    exact = gram(inputs.cpu(), "float64")
    return float((gram(inputs, precision).cpu() - exact).norm() / exact.norm())


def main() -> None:
    """Prints the figures; `make bench-gpu` collects them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a dry run at toy size")
    args = parser.parse_args()
    figures = measure(args.device, args.tiny)
    print_table(figures)
    default = figures["gram_default"]
    fits = figures[f"gram_error_{default}"] <= LARGEST_LOSS
    print(f"{default} is enough: {'ok' if fits else 'NOT SO, record in float32'}")


if __name__ == "__main__":
    main()
