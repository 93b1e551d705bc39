"""The fusion benchmark rests on these: the same inputs for both solvers, honest means, real ledgers."""

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.fusing import growth, plots, solver, tables
from benchmarks.fusing.concepts import CHARACTERS, SIZES, sets
from benchmarks.fusing.drawing import GENERIC
from benchmarks.fusing.judging import TEST, TEST_SEED
from fedshow.scoring.prompts import TOYWORLD_PROMPTS
from fedshow_server.fusion import prompts
from fedshow_server.fusion.recording import Plan


def test_sets_are_disjoint_and_nothing_is_judged_by_what_the_fit_or_the_choice_saw() -> None:
    for size in SIZES:
        names = [name for members in sets(size) for name in members]
        assert len(names) == len(set(names))
        assert set(names) <= set(CHARACTERS)
    assert TEST_SEED not in (*Plan().fit_seeds, *Plan().heldout_seeds)
    seen = {*prompts.FIT, *prompts.HELDOUT, *prompts.TEXT_FIT, *prompts.TEXT_HELDOUT}
    assert not seen & set(TEST)
    assert len({prompt.replace("{}", "{0}") for prompt in TOYWORLD_PROMPTS} - seen) >= 10
    assert len(set(GENERIC)) == 100


def test_both_solvers_minimise_the_same_and_the_exact_one_fits_at_least_as_well() -> None:
    found = solver.race({(24, 24): (400, 60), (16, 24): (40, 60)})
    for shape in found.values():
        assert 0 < shape["fit_exact"] < 1
        assert 1 - 0.05 < shape["fit_ratio"] <= 1 + 1e-9


def test_few_iterations_of_lbfgs_are_counted_as_all() -> None:
    shape = {(24, 24): (4000, 200)}
    whole, part = solver.race(shape, 1.0)["24x24"], solver.race(shape, 0.1)["24x24"]
    assert part["fit_lbfgs"] > whole["fit_lbfgs"]
    assert part["seconds_lbfgs"] > 0


def results(kept: dict[str, float]) -> dict[tuple[str, tuple[str, ...]], dict[str, Any]]:
    found: dict[tuple[str, tuple[str, ...]], dict[str, Any]] = {}
    for rule, share in kept.items():
        for size in SIZES:
            for number, members in enumerate(sets(size)):
                found[rule, members] = {
                    "concepts": {n: {"identity": 0.8 * share, "to_single": 0.1} for n in members},
                    "heldout": dict.fromkeys(members, 1 - share),
                    "shown": dict.fromkeys(members, 1 - share),
                    "drift": 0.2 * share if number == 0 else None,
                    "drift_statistic": share,
                }
    return found


def test_figures_compare_with_the_best_of_the_other_rules() -> None:
    kept = {"gradient": 0.9, "average": 0.5, "lbfgs": 0.8}
    singles = dict.fromkeys(CHARACTERS, 0.8)
    table = tables.table(results(kept), singles, tuple(kept))
    found = tables.figures(table)
    assert found["kept_8"] == pytest.approx(0.9)
    assert found["best_other_kept_8"] == pytest.approx(0.8)
    assert found["heldout_ratio_max"] == pytest.approx(0.5)
    assert found["drift_over_average_max"] == pytest.approx(1.8)
    assert tables.markdown(table).count("\n") == 1 + len(kept)


def test_a_forecast_in_the_right_order_correlates_fully() -> None:
    assert tables.rank_correlation([1, 2, 3, 4], [10, 20, 30, 500]) == pytest.approx(1)
    assert tables.rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert tables.rank_correlation([1, 1, 2, 2], [1, 2, 1, 2]) == pytest.approx(0)
    found = results({"gradient": 0.9})
    for (_, members), entry in found.items():
        for k, name in enumerate(members):
            entry["shown"][name] = 0.1 * k
            entry["concepts"][name] |= {"identity": 0.8 - 0.01 * k, "to_single": -k}
    assert tables.forecast(found, dict.fromkeys(CHARACTERS, 0.8)) == {
        "forecast_rank_correlation": pytest.approx(1),
        "forecast_pictures_correlation": pytest.approx(-1),
    }


def test_concepts_come_and_go_in_a_real_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    wiring = growth.toyworld()
    few = {name: readers for name, readers in wiring.readers.items() if "text_encoder" in name}
    layers = {name: wiring.layers[name] for readers in few.values() for name in readers}
    small = type(wiring)(wiring.base_name, wiring.base_sha256, layers, few, {})
    monkeypatch.setattr(growth, "toyworld", lambda: small)
    monkeypatch.setattr(growth, "CHANGES", 6)
    found = growth.additions(3)
    assert len(found["seconds"]) == len(found["megabytes"]) == 3
    gone = growth.removals()
    assert gone["remove_error_max"] < 1e-6
    assert gone["removals"] + gone["left"] > 2


def test_growth_is_the_last_over_the_fifth() -> None:
    seconds, megabytes = [1.0] * 100, [100.0] * 100
    seconds[97:], megabytes[60] = [1.5] * 3, 110.0
    found = growth.growth({"seconds": seconds, "megabytes": megabytes})
    assert found == {"add_100_over_5": 1.5, "memory_100_over_5": pytest.approx(1.1)}


def test_a_thousand_concepts_are_no_harder_to_hold_than_five() -> None:
    torch.set_num_threads(1)
    assert len(growth.thousand(8, 12)["seconds"]) == 12


def test_curves_are_drawn(tmp_path: Path) -> None:
    plots.plot_growth({"seconds": [1.0, 1.1], "megabytes": [5.0, 5.0]}, [0.1, 0.1], tmp_path)
    point = {"prompts": 1, "seeds": 1, "steps": 20, "heldout": 0.4, "identity": 0.7}
    plots.plot_curve([point, point | {"prompts": 2}], tmp_path)
    for name in ("fusion-growth.png", "fusion-curve.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
