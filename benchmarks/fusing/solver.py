"""The solver alone, on layers of SD 1.5's shapes: exact solution against L-BFGS, same recorded inputs.

Shapes: O out, I in, T recorded inputs of one concept.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fedshow_server.fusion.rules.exact import exact_fusion
from fedshow_server.fusion.rules.gradient import gradient_fusion
from fedshow_server.fusion.rules.lbfgs import OTHER_ITERATIONS, TEXT_ITERATIONS, papers_optimizer
from fedshow_server.fusion.sums import Layer, Part, energy, layer_of

CONCEPTS, RANK = 3, 4
TEXT = 77 * 8
"""Tokens of eight prompts."""

SHAPES = {
    (320, 320): (20_000, OTHER_ITERATIONS),
    (640, 640): (5_000, OTHER_ITERATIONS),
    (1280, 1280): (1_280, OTHER_ITERATIONS),
    (768, 320): (TEXT, TEXT_ITERATIONS),
    (768, 640): (TEXT, TEXT_ITERATIONS),
    (768, 1280): (TEXT, TEXT_ITERATIONS),
    (768, 768): (TEXT, TEXT_ITERATIONS),
}
"""Width of a layer's input and of its output: recorded inputs of each concept, iterations in the paper."""

TINY = {(32, 32): (200, 5), (24, 32): (60, 8)}


def race(
    shapes: dict[tuple[int, int], tuple[int, int]] = SHAPES, share: float = 1.0
) -> dict[str, Any]:
    """For every shape seconds and fit residual of both; `share` of L-BFGS' iterations are run and timed."""
    return {f"{i}x{o}": _race(i, o, *shapes[i, o], share) for i, o in shapes}


def _race(
    width_in: int, width_out: int, count: int, iterations: int, share: float
) -> dict[str, Any]:
    inputs = [_inputs(k, count, width_in) for k in range(CONCEPTS)]
    layer = _layer(inputs, width_out)
    adapters = [part.delta_OI for part in layer.parts()]
    ours, exact_seconds = _timed(lambda: exact_fusion(layer).delta_OI)
    _, chosen_seconds = _timed(lambda: gradient_fusion(layer).delta_OI)
    done = max(1, round(iterations * share))
    theirs, lbfgs_seconds = _timed(lambda: lbfgs_on_inputs(inputs, adapters, done))
    residuals = [_residual(delta_OI, layer) for delta_OI in (ours, theirs.double())]
    return {
        "seconds_exact": exact_seconds,
        "seconds_as_shipped": chosen_seconds,
        "seconds_lbfgs": lbfgs_seconds * iterations / done,
        "speedup": lbfgs_seconds * iterations / done / exact_seconds,
        "fit_exact": residuals[0],
        "fit_lbfgs": residuals[1],
        "fit_ratio": residuals[0] / residuals[1],
    }


def _inputs(concept: int, count: int, width: int) -> Tensor:
    """`[T, I]` float32, as uneven as activations, half of it the same directions for all concepts."""
    strength = torch.logspace(0, -2.5, width)
    shared, own = (torch.Generator().manual_seed(seed) for seed in (width, 1 + concept))
    mixing = torch.randn(width, width, generator=shared) / width**0.5
    turned = torch.randn(width, width, generator=own) / width**0.5
    noise = torch.randn(count, width, generator=own)
    inputs: Tensor = (noise * strength) @ (mixing + 0.5 * turned) + 0.1
    return inputs


def _layer(inputs: list[Tensor], width_out: int) -> Layer:
    parts = []
    for number, x_TI in enumerate(inputs):
        generator = torch.Generator().manual_seed(100 + number)
        down_RI = torch.randn(RANK, x_TI.shape[1], generator=generator).double()
        up_OR = torch.randn(width_out, RANK, generator=generator).double() * 0.1
        heldout_TI = _inputs(200 + number, len(x_TI) // 4, x_TI.shape[1])
        parts.append(Part(down_RI, up_OR, 1.0, _moment(x_TI), _moment(heldout_TI)))
    generic_II = _moment(_inputs(300, len(inputs[0]), inputs[0].shape[1]))
    return layer_of("unet.layer", "unet.input", parts, generic_II, generic_II)


def _moment(x_TI: Tensor) -> Tensor:
    x_TI = x_TI.double()
    return x_TI.T @ x_TI / len(x_TI)


def lbfgs_on_inputs(inputs: list[Tensor], adapters: list[Tensor], iterations: int) -> Tensor:
    """As the paper's code does it: all inputs and targets in memory, float32, mean squared error."""
    x_TI = torch.cat(inputs)
    target_TO = torch.cat([x @ d.float().T for x, d in zip(inputs, adapters, strict=True)])
    delta_OI = torch.zeros_like(adapters[0], dtype=torch.float32).requires_grad_()
    optimizer = papers_optimizer(delta_OI, iterations)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(x_TI @ delta_OI.T, target_TO)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return delta_OI.detach()


def _residual(delta_OI: Tensor, layer: Layer) -> float:
    """What the objective leaves, over what no update at all leaves."""
    missed = signal = 0.0
    for part in layer.parts():
        assert part.fit_II is not None
        missed += energy(delta_OI - part.delta_OI, part.fit_II)
        signal += energy(part.delta_OI, part.fit_II)
    return missed / signal


def _timed(work: Callable[[], Tensor]) -> tuple[Tensor, float]:
    started = time.perf_counter()
    found = work()
    return found, time.perf_counter() - started
