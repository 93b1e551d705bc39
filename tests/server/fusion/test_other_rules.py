"""The rules that gradient fusion is compared with: each does what its paper says."""

import dataclasses
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from fedshow_server.commands.fuse import METHODS
from fedshow_server.fusion.rules import FUSIONS
from fedshow_server.fusion.rules.custom_diffusion import main_directions
from fedshow_server.fusion.rules.gradient import Eigenbasis
from fedshow_server.fusion.rules.lbfgs import OTHER_ITERATIONS, TEXT_ITERATIONS
from fedshow_server.fusion.rules.subspace import RIDGES
from fedshow_server.fusion.sums import Layer, Part, energy
from tests.server.fusion.test_rules import IN, OUT, make_layer, make_moment, make_part


def fuse(method: str, layer: Layer) -> Tensor:
    return FUSIONS[method](layer).delta_OI


def fit_error(parts: Sequence[Part], delta_OI: Tensor) -> float:
    """The paper's objective."""
    terms = []
    for part in parts:
        assert part.fit_II is not None
        terms.append(part.weight * energy(delta_OI - part.delta_OI, part.fit_II))
    return sum(terms)


def test_the_command_names_every_rule() -> None:
    assert tuple(FUSIONS) == METHODS


@pytest.mark.parametrize(
    "method", ["lbfgs", "exact", "average", "sum", "subspace", "custom-diffusion"]
)
def test_one_concept_alone_keeps_what_it_does_to_its_own_inputs(method: str) -> None:
    part = make_part(1)
    assert part.fit_II is not None
    missed = fit_error([part], fuse(method, make_layer([part])))
    assert missed < 0.02 * energy(part.delta_OI, part.fit_II)


@pytest.mark.parametrize("method", FUSIONS)
def test_twice_the_same_weights_change_nothing_but_the_sums(method: str) -> None:
    """Only `sum` and `dare`, which add up, know how large weights are all together."""
    once, twice = (
        fuse(method, make_layer([make_part(1, w), make_part(2, 2 * w)])) for w in (1.0, 2.0)
    )
    factor = 2 if method in ("sum", "dare") else 1
    limit = 1e-3 if method == "lbfgs" else 1e-9  # its steps depend on the objective's scale
    torch.testing.assert_close(twice, factor * once, rtol=limit, atol=limit)


def test_lbfgs_approaches_the_exact_optimum_from_above() -> None:
    parts = [make_part(1), make_part(2)]
    layer = make_layer(parts)
    best = fit_error(parts, Eigenbasis(layer, 0.0).optimum(1e-12, 0.0))
    found = fit_error(parts, fuse("lbfgs", layer))
    start = fit_error(parts, torch.zeros(OUT, IN, dtype=torch.float64))
    assert best * (1 - 1e-9) <= found <= best + 1e-3 * start


def test_the_exact_optimum_leaves_the_objective_no_slope() -> None:
    parts = [make_part(1), make_part(2, 2.0)]
    layer = make_layer(parts)
    delta_OI = fuse("exact", layer)
    slope_OI = sum(
        (part.weight * (delta_OI - part.delta_OI) @ part.fit_II for part in parts),  # type: ignore[operator]
        start=torch.zeros(OUT, IN, dtype=torch.float64),
    )
    assert slope_OI.norm() < 1e-6 * layer.sums.wanted_OI.norm()


def test_the_exact_optimum_of_few_inputs_is_the_smallest() -> None:
    """Fewer inputs than dimensions: no positive definite sum, and nothing to do in the rest."""
    inputs = torch.randn(IN // 2, IN, generator=torch.Generator().manual_seed(5)).double()
    moment_II = inputs.T @ inputs
    part = dataclasses.replace(make_part(1), fit_II=moment_II, heldout_II=moment_II)
    delta_OI = fuse("exact", make_layer([part]))
    onto_II = torch.linalg.pinv(inputs) @ inputs
    torch.testing.assert_close(delta_OI, part.delta_OI @ onto_II, rtol=1e-3, atol=1e-4)
    silent = dataclasses.replace(part, fit_II=torch.zeros_like(moment_II))
    assert (fuse("exact", make_layer([silent])) == 0).all()


@pytest.mark.parametrize(
    ("input_name", "iterations"),
    [
        ("text_encoder.text_model.encoder.layers.0.self_attn.hidden", TEXT_ITERATIONS),
        ("unet.mid_block.attn2.context", TEXT_ITERATIONS),
        ("unet.mid_block.attn2.hidden", OTHER_ITERATIONS),
    ],
)
def test_lbfgs_spends_the_papers_iterations(
    input_name: str, iterations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    real = torch.optim.LBFGS

    def spy(parameters: list[Tensor], max_iter: int, **options: object) -> torch.optim.LBFGS:
        given.append(max_iter)
        return real(parameters, max_iter=2, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.optim, "LBFGS", spy)
    FUSIONS["lbfgs"](dataclasses.replace(make_layer([make_part(1)]), input_name=input_name))
    assert given == [iterations]


def rank_one(row: list[float]) -> Part:
    up = torch.zeros(OUT, 1, dtype=torch.float64)
    up[0] = 1
    down = torch.tensor([row + [0.0] * (IN - len(row))], dtype=torch.float64)
    return Part(down, up, 1.0, make_moment(1), make_moment(2))


def test_ties_trims_elects_signs_and_averages_those_that_agree() -> None:
    """12 of 60 numbers stay; where signs differ, the larger side wins and the other is left out."""
    first = rank_one([9.0, 5.0, -4.0, 7.0])
    second = rank_one([1.0, -3.0, -2.0])
    third = rank_one([2.0, -1.0, 0.0])
    merged = fuse("ties", make_layer([first, second, third]))
    expected = torch.zeros(OUT, IN, dtype=torch.float64)
    expected[0, :4] = torch.tensor([4.0, 5.0, -3.0, 7.0])
    torch.testing.assert_close(merged, expected)
    crowded = rank_one([float(k) for k in range(1, 11)])
    crowded.up_OR[1] = 1  # 20 numbers, 12 may stay
    alone = fuse("ties", make_layer([crowded]))
    assert (alone != 0).sum() == 12
    assert (alone - crowded.delta_OI)[alone != 0].abs().max() == 0, "nothing is rescaled"


def test_dare_drops_half_and_doubles_the_rest() -> None:
    part = make_part(1, 1.0)
    state = torch.random.get_rng_state()
    dropped = fuse("dare", make_layer([part]))
    assert torch.equal(torch.random.get_rng_state(), state)
    kept = dropped != 0
    assert 0.25 < kept.double().mean() < 0.75
    torch.testing.assert_close(dropped[kept], 2 * part.delta_OI[kept])
    both = fuse("dare", make_layer([part, make_part(2)]))
    torch.testing.assert_close(both - dropped, fuse("dare", make_layer([make_part(2)])))


def test_routing_is_least_squares_within_the_adapters_subspace() -> None:
    """delta = B R A with R from the paper's formula, concept by concept."""
    parts = [make_part(1), make_part(2, 2.0)]
    layer = make_layer(parts)
    solution = FUSIONS["subspace"](layer)
    down = torch.cat([part.down_RI for part in parts])
    up = torch.cat([part.up_OR for part in parts], dim=1)
    guided, total = torch.zeros(4, 4, dtype=torch.float64), torch.zeros(4, 4, dtype=torch.float64)
    for k, part in enumerate(parts):
        assert part.fit_II is not None
        signals = part.weight * down @ part.fit_II @ down.T
        keep = torch.zeros(4, 1, dtype=torch.float64)
        keep[2 * k : 2 * k + 2] = 1
        guided, total = guided + keep * signals, total + signals
    pull = float(solution.settings["ridge"]) * total.diagonal().mean()
    router = guided @ torch.linalg.inv(total + pull * torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(solution.delta_OI, up @ router @ down)
    assert solution.settings["ridge"] in RIDGES


def test_routing_needs_no_more_memory_for_twins() -> None:
    """The same adapter twice makes the stacked subspace singular."""
    part = make_part(1)
    twins = fuse("subspace", make_layer([part, part]))
    assert twins.isfinite().all()
    assert part.fit_II is not None
    assert fit_error([part], twins) < 0.02 * energy(part.delta_OI, part.fit_II)


def test_constrained_merge_gives_every_concept_its_own_values_at_the_least_change() -> None:
    parts = [make_part(1), make_part(2)]
    layer = make_layer(parts)
    delta_OI = fuse("custom-diffusion", layer)
    directions = [main_directions(part, IN // 2) for part in parts]
    for part, own_IK in zip(parts, directions, strict=True):
        torch.testing.assert_close(delta_OI @ own_IK, part.delta_OI @ own_IK, rtol=1e-5, atol=1e-6)
    four = make_layer([make_part(k) for k in range(4)])
    delta_OI = fuse("custom-diffusion", four)
    all_IK = torch.cat([main_directions(make_part(k), IN // 4) for k in range(4)], 1)
    free = torch.linalg.svd(all_IK, full_matrices=True).U[:, all_IK.shape[1] :]
    assert free.shape[1] > 0
    least = energy(delta_OI, four.reads.generic_II)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(OUT, free.shape[1], generator=generator, dtype=torch.float64)
        for sign in (0.1, -0.1):
            other = delta_OI + sign * noise @ free.T
            assert energy(other, four.reads.generic_II) > least
