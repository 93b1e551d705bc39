"""Fusion rules as mathematics: exact, optimal, independent of order."""

import pytest
import torch
from torch import Tensor

from fedshow_server.fusion.layer import Inputs, Part, Update, energy, residuals, stack
from fedshow_server.fusion.rules import FUSIONS
from fedshow_server.fusion.rules.gradient import gradient_fusion, solutions, unseen_error

OUT, IN, RANK = 6, 10, 2


def make_part(seed: int, weight: float = 1.0) -> Part:
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn(RANK, IN, generator=generator, dtype=torch.float64)
    up = torch.randn(OUT, RANK, generator=generator, dtype=torch.float64)
    return Part(down, up, weight)


def make_moment(seed: int, count: int = 40) -> Tensor:
    x = torch.randn(count, IN, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x.T @ x / count


def make_inputs(concepts: int, count: int = 40) -> Inputs:
    return Inputs(
        fit=[make_moment(10 + i, count) for i in range(concepts)],
        heldout=[make_moment(20 + i, count) for i in range(concepts)],
        generic=make_moment(30, count) * 0.1,
        generic_heldout=make_moment(31, count) * 0.1,
    )


def dense(update: Update) -> Tensor:
    return update.up_ON @ update.down_NI


def exact(parts: list[Part], inputs: Inputs, ridge: float, guard: float) -> Tensor:
    (choice,) = solutions(parts, inputs, [ridge], [guard], [0.0])
    return stack(parts)[1] @ choice.down_NI


def test_low_rank_form_equals_the_dense_formula() -> None:
    """delta = (Σ w_i delta_i G_i) S⁻¹ with S = Σ w_i G_i + μ G_0 + λ m I, straight from the paper."""
    parts, inputs = [make_part(1, 1.0), make_part(2, 2.5), make_part(3, 0.5)], make_inputs(3)
    moment = (
        sum(p.weight * g for p, g in zip(parts, inputs.fit, strict=True)) + 0.3 * inputs.generic
    )
    level = torch.diagonal(moment).mean()
    wanted = sum(p.weight * p.up_OR @ p.down_RI @ g for p, g in zip(parts, inputs.fit, strict=True))
    eye = torch.eye(IN, dtype=torch.float64)
    expected = wanted @ torch.linalg.inv(moment + 0.01 * level * eye)
    torch.testing.assert_close(exact(parts, inputs, 0.01, 0.3), expected)


def test_it_is_the_minimum_of_the_papers_objective() -> None:
    """No gradient is left, and L-BFGS as in the paper's code ends no lower."""
    parts, inputs = [make_part(1), make_part(2)], make_inputs(2)
    best = exact(parts, inputs, 1e-12, 0.0)

    def objective(delta: Tensor) -> Tensor:
        terms = [
            ((delta - p.up_OR @ p.down_RI) @ g @ (delta - p.up_OR @ p.down_RI).T).trace()
            for p, g in zip(parts, inputs.fit, strict=True)
        ]
        return torch.stack(terms).sum()

    free = torch.zeros(OUT, IN, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([free], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = objective(free)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    assert objective(best) <= objective(free.detach()) * (1 + 1e-9)
    probe = best.clone().requires_grad_()
    objective(probe).backward()  # type: ignore[no-untyped-call]
    assert probe.grad is not None
    assert probe.grad.abs().max() < 1e-8


def test_one_concept_alone_is_met_exactly_without_regularisation() -> None:
    parts, inputs = [make_part(1)], make_inputs(1)
    delta = exact(parts, inputs, 1e-12, 0.0)
    torch.testing.assert_close(delta, parts[0].up_OR @ parts[0].down_RI, rtol=1e-6, atol=1e-8)


def test_directions_that_no_input_uses_are_shrunk() -> None:
    """Fewer inputs than dimensions: met on the inputs, nothing anywhere else."""
    parts, inputs = [make_part(1)], make_inputs(1, count=4)
    delta = exact(parts, inputs, 1e-9, 0.0)
    values, vectors = torch.linalg.eigh(inputs.fit[0])
    unused = vectors[:, values < 1e-10 * values.max()]
    assert unused.shape[1] == IN - 4
    assert (delta @ unused).abs().max() < 1e-5
    errors, signals = residuals(
        parts, torch.linalg.lstsq(parts[0].up_OR, delta).solution, inputs.fit
    )
    assert errors[0] < 1e-10 * signals[0]


@pytest.mark.parametrize("method", FUSIONS)
def test_order_does_not_matter(method: str) -> None:
    parts, inputs = [make_part(1, 0.7), make_part(2, 1.3), make_part(3)], make_inputs(3)
    turned = Inputs(inputs.fit[::-1], inputs.heldout[::-1], inputs.generic, inputs.generic_heldout)
    forward, backward = FUSIONS[method](parts, inputs), FUSIONS[method](parts[::-1], turned)
    torch.testing.assert_close(dense(forward), dense(backward), rtol=1e-9, atol=1e-10)


def test_average_and_sum_are_what_they_say() -> None:
    parts = [make_part(1, 1.0), make_part(2, 3.0)]
    deltas = [p.up_OR @ p.down_RI for p in parts]
    torch.testing.assert_close(dense(FUSIONS["sum"](parts, None)), deltas[0] + 3 * deltas[1])
    torch.testing.assert_close(
        dense(FUSIONS["average"](parts, None)), 0.25 * deltas[0] + 0.75 * deltas[1]
    )


def test_chosen_regularisation_serves_unseen_inputs_better_than_any_fixed_one() -> None:
    parts, inputs = [make_part(1), make_part(2)], make_inputs(2, count=8)
    chosen = unseen_error(parts, inputs, gradient_fusion(parts, inputs).down_NI)
    for ridge, guard in ((1e-4, 0.1), (1e-2, 0.3), (1e-1, 1.0)):
        (fixed,) = solutions(parts, inputs, [ridge], [guard], [0.0])
        assert chosen <= unseen_error(parts, inputs, fixed.down_NI)
    assert chosen <= unseen_error(parts, inputs, FUSIONS["average"](parts, None).down_NI)


def test_guard_keeps_the_base_where_its_own_prompts_are() -> None:
    parts, inputs = [make_part(1), make_part(2)], make_inputs(2)
    _, up = stack(parts)
    drifts = [
        energy(up, next(solutions(parts, inputs, [1e-3], [guard], [0.0])).down_NI, inputs.generic)
        for guard in (0.0, 1.0, 10.0)
    ]
    assert drifts[0] > drifts[1] > drifts[2]


def test_heavier_concept_is_met_more_closely() -> None:
    inputs = make_inputs(2)
    errors = []
    for weight in (1.0, 10.0):
        parts = [make_part(1, weight), make_part(2)]
        (choice,) = solutions(parts, inputs, [1e-4], [0.1], [0.0])
        errors.append(residuals(parts, choice.down_NI, inputs.fit)[0][0])
    assert errors[1] < errors[0]


def test_energy_is_the_mean_square_of_outputs() -> None:
    part = make_part(1)
    x = torch.randn(50, IN, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    outputs = x @ (part.up_OR @ part.down_RI).T
    expected = outputs.square().sum(1).mean().item()
    assert energy(part.up_OR, part.down_RI, x.T @ x / 50) == pytest.approx(expected)
