"""The study's gate: nobody makes tuning, fusing or drawing worse without noticing."""

from pathlib import Path

import pytest

from benchmarks.study import gate

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    work: Path = tmp_path_factory.mktemp("gate")
    return gate.measure(work)


@pytest.mark.parametrize("figure", gate.ALLOWED)
def test_nothing_is_worse_than_what_was_recorded(figure: str, measured: dict[str, float]) -> None:
    least = gate.recorded()[figure] - gate.ALLOWED[figure]
    assert measured[figure] > least, (
        f"{figure} was {gate.recorded()[figure]:.3f} when it was recorded; if less is what you want, "
        "record it anew with `python -m benchmarks.study.gate`, and say why in the commit"
    )


def test_gradient_fusion_keeps_what_averaging_loses(measured: dict[str, float]) -> None:
    assert measured["kept_gradient"] > measured["kept_average"] + 0.02


def test_by_regions_both_are_there(measured: dict[str, float]) -> None:
    assert measured["regions_right"] >= gate.recorded()["regions_right"] - 0.25
