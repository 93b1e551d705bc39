"""Fusion rules as mathematics: exact, optimal, independent of order."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from fedshow_server.fusion.report import residual
from fedshow_server.fusion.rules import FUSIONS
from fedshow_server.fusion.rules.gradient import (
    GUARDS,
    RIDGES,
    TARGETS,
    Choice,
    Eigenbasis,
    best_choice,
    gradient_fusion,
)
from fedshow_server.fusion.sums import Layer, Part, energy, layer_of
from fedshow_server.fusion.update import Update, smallest

OUT, IN, RANK = 6, 10, 2
GIVEN = 7.0


def make_moment(seed: int, count: int = 40) -> Tensor:
    x = torch.randn(count, IN, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x.T @ x / count


def make_part(seed: int, weight: float = 1.0, count: int = 40) -> Part:
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn(RANK, IN, generator=generator, dtype=torch.float64)
    up = torch.randn(OUT, RANK, generator=generator, dtype=torch.float64)
    return Part(down, up, weight, make_moment(10 + seed, count), make_moment(20 + seed, count))


def make_layer(parts: Sequence[Part], count: int = 40) -> Layer:
    return layer_of(
        "unet.layer",
        "unet.input",
        parts,
        make_moment(30, count) * 0.1,
        make_moment(31, count) * 0.1,
        GIVEN,
    )


def exact(parts: Sequence[Part], ridge: float, guard: float, toward_mean: float = 0.0) -> Tensor:
    return Eigenbasis(make_layer(parts), guard).optimum(ridge, toward_mean)


def straight_formula(layer: Layer, choice: Choice) -> Tensor:
    """From the parts, one by one, with an inverse."""
    parts = list(layer.parts())
    total = sum(part.weight for part in parts)
    moment = choice.guard * total * layer.reads.generic_II
    wanted = torch.zeros(OUT, IN, dtype=torch.float64)
    for part in parts:
        assert part.fit_II is not None
        moment = moment + part.weight * part.fit_II
        wanted = wanted + part.weight * part.delta_OI @ part.fit_II
    pull = choice.ridge * moment.diagonal().mean()
    for part in parts:
        wanted = wanted + pull * choice.toward_mean * part.weight / total * part.delta_OI
    return wanted @ torch.linalg.inv(moment + pull * torch.eye(IN, dtype=torch.float64))


def straight_error(layer: Layer, delta_OI: Tensor) -> float:
    """Mean error on unseen inputs, concept by concept, relative to what concepts do on average; moving
    generic prompts counts more where concepts are many or the layer gives little anyway."""
    parts = list(layer.parts())
    total = sum(part.weight for part in parts)
    errors = signals = 0.0
    for part in parts:
        assert part.heldout_II is not None
        signals += part.weight / total * energy(part.delta_OI, part.heldout_II)
        errors += part.weight / total * energy(delta_OI - part.delta_OI, part.heldout_II)
    drift = energy(delta_OI, layer.reads.generic_heldout_II)
    counts = 0.8 * (len(parts) * signals / (signals + GIVEN)) ** 0.5
    return float((errors + counts * drift) / signals)


def test_it_equals_the_straight_formula() -> None:
    """delta = (Σ w_i delta_i G_i + λ m τ mean) S⁻¹ with S = Σ w_i G_i + μ G_0 + λ m I."""
    layer = make_layer([make_part(1, 1.0), make_part(2, 2.5), make_part(3, 0.5)])
    for choice in (Choice(0.3, 0.01, 0.0), Choice(1.0, 0.1, 1.0)):
        found = Eigenbasis(layer, choice.guard).optimum(choice.ridge, choice.toward_mean)
        torch.testing.assert_close(found, straight_formula(layer, choice))


@pytest.mark.parametrize("count", [4, 8, 40])
@pytest.mark.parametrize("weights", [(1.0,), (1.0, 1.0), (0.5, 2.0, 1.0), (1.0,) * 9])
def test_sums_choose_what_looking_at_every_concept_chooses(
    weights: tuple[float, ...], count: int
) -> None:
    """All candidates one by one on every concept's own moments: same choice, error and update.

    Some are as good as each other but for rounding: of those it may be any.
    """
    layer = make_layer([make_part(k, w, count) for k, w in enumerate(weights)], count)
    candidates = {}
    for guard in GUARDS:
        for ridge in RIDGES:
            for target in TARGETS:
                choice = Choice(guard, ridge, target)
                candidates[choice] = straight_error(layer, straight_formula(layer, choice))
    chosen, least = best_choice(layer), pytest.approx(min(candidates.values()), rel=1e-8)
    assert candidates[chosen] == least
    found = gradient_fusion(layer).delta_OI
    torch.testing.assert_close(found, straight_formula(layer, chosen), rtol=1e-8, atol=1e-10)
    assert layer.unseen_error(found) == least


def test_it_is_the_minimum_of_the_papers_objective() -> None:
    """No gradient is left."""
    parts = [make_part(1), make_part(2)]
    best = exact(parts, 1e-12, 0.0)

    def objective(delta_OI: Tensor) -> Tensor:
        terms = [
            ((delta_OI - p.delta_OI) @ p.fit_II @ (delta_OI - p.delta_OI).T).trace()
            for p in parts
            if p.fit_II is not None
        ]
        return torch.stack(terms).sum()

    probe = best.clone().requires_grad_()
    objective(probe).backward()  # type: ignore[no-untyped-call]
    assert probe.grad is not None
    assert probe.grad.abs().max() < 1e-8


def test_one_concept_alone_is_met_exactly_without_regularisation() -> None:
    part = make_part(1)
    torch.testing.assert_close(exact([part], 1e-12, 0.0), part.delta_OI, rtol=1e-6, atol=1e-8)


def test_directions_that_no_input_uses_are_shrunk() -> None:
    """Fewer inputs than dimensions: met on the inputs, nothing anywhere else."""
    part = make_part(1, count=4)
    assert part.fit_II is not None
    delta_OI = exact([part], 1e-9, 0.0)
    values, vectors = torch.linalg.eigh(part.fit_II)
    unused = vectors[:, values < 1e-10 * values.max()]
    assert unused.shape[1] == IN - 4
    assert (delta_OI @ unused).abs().max() < 1e-5
    assert energy(delta_OI - part.delta_OI, part.fit_II) < 1e-10 * energy(
        part.delta_OI, part.fit_II
    )


@pytest.mark.parametrize("method", FUSIONS)
def test_order_does_not_matter(method: str) -> None:
    parts = [make_part(1, 0.7), make_part(2, 1.3), make_part(3)]
    forward, backward = (FUSIONS[method](make_layer(each)) for each in (parts, parts[::-1]))
    limit = 1e-5 if method == "lbfgs" else 1e-9  # rounding grows from step to step
    torch.testing.assert_close(forward.delta_OI, backward.delta_OI, rtol=limit, atol=limit)


def test_average_and_sum_are_what_they_say() -> None:
    parts = [make_part(1, 1.0), make_part(2, 3.0)]
    first, second = (part.delta_OI for part in parts)
    layer = make_layer(parts)
    torch.testing.assert_close(FUSIONS["sum"](layer).delta_OI, first + 3 * second)
    torch.testing.assert_close(FUSIONS["average"](layer).delta_OI, 0.25 * first + 0.75 * second)


def test_chosen_regularisation_serves_unseen_inputs_better_than_any_fixed_one() -> None:
    layer = make_layer([make_part(1, count=8), make_part(2, count=8)], count=8)
    chosen = layer.unseen_error(gradient_fusion(layer).delta_OI)
    for ridge, guard in ((1e-4, GUARDS[0]), (1e-2, GUARDS[1]), (1e-1, GUARDS[-1])):
        fixed = Eigenbasis(layer, guard).optimum(ridge, 0.0)
        assert chosen <= layer.unseen_error(fixed)
    assert chosen <= layer.unseen_error(FUSIONS["average"](layer).delta_OI) * (1 + 1e-9)


def test_guard_keeps_the_base_where_its_own_prompts_are() -> None:
    parts = [make_part(1), make_part(2)]
    generic_II = make_layer(parts).reads.generic_II
    drifts = [energy(exact(parts, 1e-3, guard), generic_II) for guard in (0.0, 1.0, 10.0)]
    assert drifts[0] > drifts[1] > drifts[2]


def test_heavier_concept_is_met_more_closely() -> None:
    errors = []
    for weight in (1.0, 10.0):
        parts = [make_part(1, weight), make_part(2)]
        assert parts[0].fit_II is not None
        missed = exact(parts, 1e-4, 0.1) - parts[0].delta_OI
        errors.append(energy(missed, parts[0].fit_II))
    assert errors[1] < errors[0]


def test_a_concept_that_does_nearly_nothing_does_not_decide_for_the_others() -> None:
    """Relative to its own signal any update would be a huge error, and none would be best."""
    loud = [make_part(1), make_part(2)]
    quiet = make_part(3)
    hushed = Part(quiet.down_RI, quiet.up_OR * 1e-4, 1.0, quiet.fit_II, quiet.heldout_II)
    with_it, without = (
        gradient_fusion(make_layer(parts)).delta_OI for parts in ([*loud, hushed], loud)
    )
    assert with_it.norm() > 0.6 * without.norm()


def test_a_layer_that_no_concept_changes_stays() -> None:
    part = make_part(1)
    idle = Part(part.down_RI, part.up_OR * 0, 1.0, part.fit_II, part.heldout_II)
    layer = make_layer([idle, idle])
    solution = gradient_fusion(layer)
    assert not solution.delta_OI.any()
    assert residual(smallest(solution.delta_OI, layer.parts()), idle, make_moment(1)) == 0


def test_energy_is_the_mean_square_of_outputs() -> None:
    delta_OI = make_part(1).delta_OI
    x = torch.randn(50, IN, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = (x @ delta_OI.T).square().sum(1).mean().item()
    assert energy(delta_OI, x.T @ x / 50) == pytest.approx(expected)


def wide_part(seed: int, width: int = 40) -> Part:
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn(3, width, generator=generator, dtype=torch.float64)
    return Part(down, torch.randn(width, 3, generator=generator, dtype=torch.float64))


def mixed(parts: Sequence[Part]) -> Tensor:
    """Something that mixes the outputs of all adapters."""
    mixing = torch.randn(3, 40, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return sum((part.up_OR @ (part.down_RI + mixing) for part in parts), torch.zeros(40, 40))


@pytest.mark.parametrize("concepts", [1, 2, 6])
def test_lora_form_is_exact_while_it_is_smaller(concepts: int) -> None:
    parts = [wide_part(seed) for seed in range(concepts)]
    update = smallest(mixed(parts), parts)
    assert update.down_NI is not None
    assert update.rank == 3 * concepts
    assert sum(x.numel() for x in update.tensors("layer").values()) < 40 * 40
    torch.testing.assert_close(update.delta_OI, mixed(parts))
    up, down = update.up_ON.norm(dim=0), update.down_NI.norm(dim=1)
    torch.testing.assert_close(up, down)


def test_a_matrix_is_kept_where_it_is_smaller_and_no_more_adapters_are_read() -> None:
    parts = [wide_part(seed) for seed in range(50)]
    delta_OI, read = mixed(parts), 0

    def counted() -> object:
        nonlocal read
        for part in parts:
            read += 1
            yield part

    update = smallest(delta_OI, counted())  # type: ignore[arg-type]
    assert update.down_NI is None
    assert list(update.tensors("layer")) == ["layer.delta"]
    assert torch.equal(update.delta_OI, delta_OI)
    assert read == 7, "7 adapters of rank 3 are as large as the matrix"


def test_an_update_outside_of_the_adapters_span_loses_nothing() -> None:
    parts = [wide_part(1)]
    delta_OI = wide_part(2).delta_OI
    update = smallest(delta_OI, parts)
    assert torch.equal(update.delta_OI, delta_OI)


def test_a_concept_of_twins_needs_no_second_copy() -> None:
    parts = [wide_part(1), wide_part(1)]
    update = smallest(parts[0].delta_OI, parts)
    assert (update.rank, type(update)) == (3, Update)
    torch.testing.assert_close(update.delta_OI, parts[0].delta_OI)
    assert smallest(torch.zeros(40, 40, dtype=torch.float64), parts).rank == 1
