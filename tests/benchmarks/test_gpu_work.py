"""What `make bench-gpu` says must be computed and moved is what is, and what it measures in part is alike."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu import fusion, roofline, scaling, work
from benchmarks.gpu.families import MAKERS
from benchmarks.tuning import sd15
from fedshow.families import Base
from fedshow_server.fusion.fuse import bring_in, ledger_of
from fedshow_server.fusion.grams import gram
from fedshow_server.fusion.ledger import Ledger
from fedshow_server.fusion.rules.gradient import gradient_fusion
from fedshow_server.fusion.wiring import Wiring

RANK = 2 * fusion.RANK
"""Of two concepts."""


@dataclass(frozen=True)
class Stage:
    """Two concepts in a ledger that knows every third input."""

    base: Base
    wiring: Wiring
    ledger: Ledger
    folder: Path


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    work_folder: Path = tmp_path_factory.mktemp("work")
    base, plan = sd15.sd15("cpu", sd15.TINY), replace(fusion.TOY, **scaling.THIN)
    narrow = scaling.narrowed(base, 3)
    wiring = Wiring.of(narrow.card, narrow.family)
    concepts = [fusion.concept(work_folder, base.card, k, classes=("man",)) for k in range(2)]
    with ledger_of(narrow, plan, work_folder / "ledger") as ledger:
        workers = scaling.Narrowing(base, wiring)
        bring_in(ledger, base, concepts, plan, lambda _: None, workers)
        ledger.layers()
        yield Stage(base, wiring, ledger, work_folder / "ledger")


def test_gram_sums_are_counted_as_they_are_multiplied() -> None:
    with FlopCounterMode(display=False) as counter:
        gram(torch.zeros(77, 32), "float32")
    assert counter.get_total_flops() == work.gram_flops(77, 32)


def test_solving_decomposes_and_multiplies_as_much_as_is_said(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths, eigh = [], torch.linalg.eigh

    def decompose(moment_II: Tensor) -> tuple[Tensor, Tensor]:
        widths.append(len(moment_II))
        return eigh(moment_II)

    monkeypatch.setattr(torch.linalg, "eigh", decompose)
    with FlopCounterMode(display=False) as counter:
        for layer in stage.ledger.layers():
            gradient_fusion(layer)
    done = sum(work.DECOMPOSITION * width**3 for width in widths)
    assert done == work.decomposition_flops(stage.wiring)
    small = counter.get_total_flops() / work.product_flops(stage.wiring, RANK)
    assert 1 <= small < 1.2, "products with one edge of nine ridges are left out"


def test_the_ledgers_files_are_as_large_as_is_said(stage: Stage) -> None:
    (sums,) = (stage.folder / "sums").glob("*.safetensors")
    assert sums.stat().st_size == pytest.approx(work.sums_bytes(stage.wiring, RANK), rel=0.05)
    generic = stage.folder / "generic" / "man.safetensors"  # moments alone
    assert generic.stat().st_size == pytest.approx(work.record_bytes(stage.wiring), rel=0.15)


def test_every_stride_meets_every_kind_of_input() -> None:
    for (family, _), every in scaling.EVERY.items():
        make, sizes, _ = MAKERS[family]
        base = make("meta", sizes)
        assert kinds(scaling.narrowed(base, every)) == kinds(base)


def kinds(base: Base) -> set[tuple[str, str, str]]:
    """Part of the model, and what of which attention its layers read."""
    names = Wiring.of(base.card, base.family).readers
    parts = (name.split(".") for name in names)
    return {(component, module.strip("0123"), kind) for component, *_, module, kind in parts}


@pytest.mark.parametrize("family", MAKERS)
def test_bare_passes_are_of_the_whole_denoiser(family: str) -> None:
    make, _, sizes = MAKERS[family]
    base, seen = make("cpu", sizes), set()
    for name, module in base.denoiser.named_modules():
        module.register_forward_hook(lambda _, __, ___, name=name: seen.add(name))
    fusion.bare_pass(base, 2)()
    assert {layer.removeprefix("unet.") for layer in base.layers if "unet" in layer} <= seen


def test_a_floor_is_the_slower_of_computing_and_moving_on_the_card_then_the_cores() -> None:
    rates = roofline.Rates(flops=10, bytes=2, cores_flops=1)
    assert roofline.Work("a", 20, 2, 8).floor(rates) == 2
    assert roofline.Work("a", 20, 10, 8).floor(rates) == 5
    found = roofline.Work("a", 20, 10, 14, cores_flops=9)
    assert found.floor(rates) == 5 + 9
    assert found.bound(rates) == "cores"


def test_traffic_is_of_inputs_weights_and_outputs() -> None:
    layer = torch.nn.Linear(3, 5, dtype=torch.float16)
    with roofline.traffic([layer]) as moved:
        layer(torch.zeros(7, 3, dtype=torch.float16))
    layer(torch.zeros(7, 3, dtype=torch.float16))
    assert moved == [2 * (7 * 3 + 3 * 5 + 5 + 7 * 5)]
