"""Sums of few concepts are kept as factors, of many as matrices, and nobody who fuses can tell."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from fedshow_server.fusion.ledger import Ledger, open_ledger, totals
from fedshow_server.fusion.ledger.factors import are_smaller
from fedshow_server.fusion.ledger.receipt import relative_difference
from tests.server.fusion.synthetic import RECORDING, WIRING, record_generic, ridge, statistics

QUERY = "unet.a.attn1.to_q"
"""8 in, 8 out: matrices have 3 · 64 + 1 numbers, a row of factors 33."""

MOST = 5
"""Ranks in all for which its factors are smaller."""


def filled(folder: Path, seeds: Iterable[int], rank: int = 1) -> None:
    """Each concept followed by a fusion."""
    with open_ledger(folder, WIRING, RECORDING) as ledger:
        record_generic(ledger)
        for seed in seeds:
            ledger.add(statistics(seed, rank=rank))
            ledger.layers()


def fused(folder: Path) -> dict[str, Tensor]:
    with open_ledger(folder, WIRING, RECORDING) as ledger:
        return {layer.name: ridge(layer) for layer in ledger.layers()}


def remove(folder: Path, seed: int) -> float:
    with open_ledger(folder, WIRING, RECORDING) as ledger:
        return ledger.remove(statistics(seed).name, ridge).largest_difference


def newest(folder: Path) -> Path:
    """The file of the sums that were made last."""
    index = json.loads((folder / "ledger.json").read_text())
    return folder / "sums" / f"{[*index['sums']][-1]}.safetensors"


def shapes(file: Path) -> dict[str, list[int]]:
    with safe_open(file, "numpy") as tensors:
        return {key: tensors.get_slice(key).get_shape() for key in tensors.keys()}  # noqa: SIM118  # no mapping


def test_the_form_is_that_which_takes_less_room(tmp_path: Path) -> None:
    assert are_smaller(MOST, 8, 8)
    assert not are_smaller(MOST + 1, 8, 8)
    sizes = []
    for count in range(1, 12):
        filled(tmp_path / str(count), range(1, count + 1))
        file = newest(tmp_path / str(count))
        found = shapes(file)
        if count <= MOST:
            assert found[f"{QUERY}.rows"] == [count, 33]
            assert f"{QUERY}.wanted_OI" not in found
        else:
            assert found[f"{QUERY}.wanted_OI"] == [8, 8]
            assert f"{QUERY}.rows" not in found
        sizes.append(file.stat().st_size)
    assert sizes[-1] == sizes[-2], "as large for any number"
    assert sizes[0] < 0.7 * sizes[-1]


def test_both_forms_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With weights, a concept that leaves a layer out, and ranks that differ."""

    def sums(folder: Path) -> dict[str, Tensor]:
        with open_ledger(folder, WIRING, RECORDING) as ledger:
            record_generic(ledger)
            for seed, rank, weight in ((1, 1, 2.0), (2, 2, 1.0), (3, 1, 0.5)):
                ledger.add(statistics(seed, rank=rank), weight)
                ledger.layers()
            weights = {**ledger.weights, statistics(2).name: 3.0}
            return {
                f"{each.name}.{field}": getattr(each.sums, field)
                for layer in ledger.layers(weights)
                for each in (layer, layer.turned or layer)
                for field in totals.FIELDS
            }

    found = sums(tmp_path / "factors")
    assert any("rows" in key for key in shapes(newest(tmp_path / "factors")))
    monkeypatch.setattr(totals, "are_smaller", lambda *_: False)
    expected = sums(tmp_path / "matrices")
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-12, atol=1e-12)


def test_nothing_of_a_concept_stays_in_the_factors_of_the_others(tmp_path: Path) -> None:
    filled(tmp_path, (1, 2, 3))
    down_RI = statistics(2, rank=1).adapters[QUERY][0].double()

    def holders() -> list[Path]:
        """In float64, unlike records."""
        gone = down_RI.numpy().tobytes()
        return [path for path in tmp_path.rglob("*.safetensors") if gone in path.read_bytes()]

    assert newest(tmp_path) in holders()
    remove(tmp_path, 2)
    assert not holders()


def test_sums_that_shrink_become_factors_again(tmp_path: Path) -> None:
    filled(tmp_path / "a", range(1, 9))
    for seed in range(8, 2, -1):
        assert remove(tmp_path / "a", seed) < 1e-9
    filled(tmp_path / "b", (1, 2))
    assert shapes(newest(tmp_path / "a")) == shapes(newest(tmp_path / "b"))
    same(fused(tmp_path / "a"), fused(tmp_path / "b"))


@pytest.mark.parametrize("rank", [1, 4], ids=["factors", "matrices"])
def test_a_layer_that_nobody_adapts_any_more_is_gone(tmp_path: Path, rank: int) -> None:
    """Every third concept leaves this one out."""
    filled(tmp_path / "a", (1, 3, 6), rank)
    assert "unet.a.attn2.to_v" in fused(tmp_path / "a")
    remove(tmp_path / "a", 1)
    filled(tmp_path / "b", (3, 6), rank)
    same(fused(tmp_path / "a"), fused(tmp_path / "b"))


def without_ranks(folder: Path) -> None:
    """As ledgers were written before there were factors."""
    file = folder / "ledger.json"
    content = json.loads(file.read_text())
    for entry in content["concepts"].values():
        del entry["ranks"]
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "change",
    [
        lambda ledger: ledger,
        lambda ledger: ledger.add(statistics(4, rank=1)),
        lambda ledger: ledger.remove(statistics(2).name, ridge),
        lambda ledger: [ledger.add(statistics(seed, rank=1)) for seed in range(4, 9)],
    ],
    ids=["as it was", "added", "removed", "many added"],
)
def test_ledgers_of_matrices_alone_are_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Ledger], object]
) -> None:
    with monkeypatch.context() as before:
        before.setattr(totals, "are_smaller", lambda *_: False)
        filled(tmp_path / "a", (1, 2, 3))
    without_ranks(tmp_path / "a")
    assert not any("rows" in key for key in shapes(newest(tmp_path / "a")))
    filled(tmp_path / "b", (1, 2, 3))
    for folder in (tmp_path / "a", tmp_path / "b"):
        with open_ledger(folder, WIRING, RECORDING) as ledger:
            change(ledger)
    same(fused(tmp_path / "a"), fused(tmp_path / "b"))


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for layer, delta_OI in expected.items():
        assert relative_difference(found[layer], delta_OI) < 1e-9, layer
