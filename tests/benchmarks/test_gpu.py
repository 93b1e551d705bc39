"""No card is needed to know that `make bench-gpu` will run on one: every line of it, at toy size."""

import json
import threading
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import families, fusion, toyworld, tuning_grid
from benchmarks.toyworld import GATES as TOYWORLD_GATES
from benchmarks.tuning import sd15, sdxl
from fedshow.formats import FORMATS
from fedshow_server.fusion import fuse, workers
from fedshow_server.fusion.grams import PRECISIONS
from fedshow_server.fusion.recording import Plan
from fedshow_server.fusion.report import layer_report
from fedshow_server.fusion.sums import Layer
from fedshow_server.fusion.update import Update
from fedshow_server.fusion.workers import solve_layers

SET_OF_CONCEPTS = ("recording_seconds", "sums_seconds", "solve_seconds", "release_seconds")
WORK = ("pass", "grams", "recorded", "solve", "tune_step", "region_step")
STAGES = ("base", "tune", "fuse", "release", "load", "sample", "export")
pytestmark = pytest.mark.timeout(1800)


def run(monkeypatch: pytest.MonkeyPatch, out: Path, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["gpu", "--tiny", "--device", "cpu", "--out", str(out), *words])
    return gpu.main()


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("fusion", {"fusion_14_seconds", "record_over_passes", "solve_14_seconds"}),
        ("fusion", {"lbfgs_over_solve", "lbfgs_layers_measured"}),
        ("sampling", {f"sampling_overhead_{count}_at_128x64" for count in (1, 2, 3, 4)}),
        ("sampling", {"sampling_overhead_3", "sampling_graphs_3"}),
        ("tuning", {"tune_ratio", "tune_rate_share"}),
        ("tuning-grid", {f"tune_b{n}_cached_seconds" for n in (1, 4, 8)}),
        ("tuning-grid", {f"tune_b{n}_uncached_checkpointed_gigabytes" for n in (1, 4, 8)}),
        ("tuning-grid", {"tune_b8_plain_seconds", "tune_b4_cached_compiled_seconds"}),
        ("tuning-grid", {"tune_profile_busy_share"}),
        ("sd1", {f"sd1_{stage}_seconds" for stage in STAGES}),
        ("sd1", {f"sd1_export_{name}_megabytes" for name in FORMATS}),
        ("sdxl", {f"sdxl_{stage}_seconds" for stage in STAGES}),
        ("sdxl", {f"sdxl_export_{name}_megabytes" for name in FORMATS}),
        ("grams", {"gram_loss", "eigh_64_core_seconds"}),
        ("grams", {f"gram_error_{precision}_64x32" for precision in PRECISIONS}),
        ("scaling", {f"scaling_sd1_r32_n2_{name}" for name in SET_OF_CONCEPTS}),
        ("roofline", {f"roofline_{name}_over_floor" for name in WORK}),
        ("toyworld", {f"toyworld_{name}" for name in TOYWORLD_GATES}),
        ("toyworld", {"toyworld_views_per_second", "toyworld_encoder_top1"}),
    ],
)
def test_every_part_measures_what_the_result_must_have(
    part: str, names: set[str], parts: Path
) -> None:
    kept = json.loads((parts / f"{part}.json").read_text())
    assert kept["whole"]
    for name in names:
        assert kept["figures"][name] >= 0


@pytest.mark.parametrize("family", families.MAKERS)
def test_what_is_exported_holds_what_was_tuned_and_fused(family: str, parts: Path) -> None:
    figures = json.loads((parts / f"{family}.json").read_text())["figures"]
    sizes = {name: figures[f"{family}_export_{name}_megabytes"] for name in FORMATS}
    assert figures[f"{family}_sample_precision"] == "float32", "as small bases are drawn everywhere"
    assert 0 < sizes["embeddings"] < min(sizes[name] for name in ("diffusers", "kohya", "peft"))
    assert max(sizes, key=lambda name: sizes[name]) == "single-file"
    assert sizes["single-file"] < figures[f"{family}_release_megabytes"]
    assert sum(sizes.values()) == pytest.approx(figures[f"{family}_export_megabytes"])


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (lambda: sd15.make_unet(sd15.FULL), 859_520_964),
        (lambda: sdxl.make_unet(sdxl.FULL), 2_567_463_684),
        (lambda: sdxl.make_text_encoders(sdxl.FULL)[0], 123_060_480),
        (lambda: sdxl.make_text_encoders(sdxl.FULL)[1], 694_659_840),
        (lambda: sd15.make_vae(sdxl.FULL), 83_653_863),
    ],
)
def test_full_sizes_are_those_of_the_true_weights(make: Callable[[], Any], parameters: int) -> None:
    with torch.device("meta"):
        assert sum(value.numel() for value in make().parameters()) == parameters


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All parts but two, which do again what others do."""
    out: Path = tmp_path_factory.mktemp("gpu")
    for part in ("fusion-as-shipped", "scaling-sdxl"):
        keep(out, part, whole=True)
    with pytest.MonkeyPatch.context() as patch:
        assert run(patch, out, "--limit", "1800") == 0  # a busy machine is no failure
    assert not (out / "gpu.json").exists(), "a dry run writes no result"
    return out


def keep(out: Path, part: str, whole: bool) -> None:
    kept = {"commit": "x", "date": "y", "whole": whole, "figures": {f"{part}_seconds": 1.0}}
    (out / f"{part}.json").write_text(json.dumps(kept))


def test_a_part_that_fails_loses_nothing_of_the_others_and_nothing_whole_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *others = gpu.PARTS
    for part in others:
        keep(tmp_path, part, whole=True)
    keep(tmp_path, first, whole=False)
    asked = []
    monkeypatch.setattr(gpu, "_run", lambda part, _: asked.append(part))
    assert run(monkeypatch, tmp_path) == 1
    said = capsys.readouterr()
    assert asked == [first]
    assert f"not whole: {first}" in said.err
    assert all(f"{part}_seconds" in said.out for part in gpu.PARTS)


def test_a_part_that_is_stopped_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A killed process cannot remove what it has made for a while."""
    asked, temporary = tmp_path / "asked", tmp_path / "temporary"
    temporary.mkdir()
    asked.write_text(f"#!/bin/sh\nmktemp -d > {tmp_path}/made\nexec sleep 600\n")
    asked.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(asked))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr(gpu, "LONG", {"sdxl": 10.0})
    gpu._run("sdxl", Namespace(out=tmp_path, device="cpu", tiny=True, limit=None))
    assert "sdxl: stopped after 10 s" in capsys.readouterr().err
    assert (tmp_path / "made").read_text().startswith(str(temporary))
    assert not list(temporary.iterdir())


def test_figures_are_kept_before_the_next_ones_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(device: str, tiny: bool) -> Any:
        yield {"one": 1.0}
        raise MemoryError

    monkeypatch.setitem(gpu.PARTS, "fusion", measure)
    with pytest.raises(MemoryError):
        run(monkeypatch, tmp_path, "--part", "fusion")
    kept = json.loads((tmp_path / "fusion.json").read_text())
    assert kept["figures"] == {"one": 1.0}
    assert not kept["whole"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_there_are_no_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, reason in (((), "no accelerator"), (("--device", "cpu"), "needs --tiny")):
        monkeypatch.setattr("sys.argv", ["gpu", "--out", str(tmp_path / "out"), *words])
        assert gpu.main() == 2
        assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_bare_passes_are_those_of_the_recording(tmp_path: Path) -> None:
    """Two concepts of two classes: each for fit and choice, and the base on both classes and on none."""
    plan = Plan(fit_seeds=(0, 1), fit_prompts=3, things=5)
    base, _, concepts = fusion._setting("cpu", True, plan, tmp_path)
    found = fusion.draws(plan, concepts[:2])
    assert found == {3: 2 * 2, 4: 2 + 2 * 2, 2: 2, 6: 2 + 1}
    assert base.sample_pixels == 64


def test_what_is_solved_behind_the_report_counts_as_solving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that moves by one for each layer that is solved."""
    now, lock, threads = [0.0], threading.Lock(), torch.get_num_threads()

    def solve(method: str, layers: list[Layer]) -> list[Update]:
        with lock:
            now[0] += len(layers)
        return solve_layers(method, layers)

    def report(*told: Any) -> dict[str, object]:
        time.sleep(0.01)  # the threads go on meanwhile
        return layer_report(*told)

    monkeypatch.setattr(workers, "solve_layers", solve)
    monkeypatch.setattr(fuse, "layer_report", report)
    monkeypatch.setattr(fusion, "pass_seconds", lambda *_: 1.0)
    base, _, (one, *_) = fusion._setting("cpu", True, fusion.TOY, tmp_path)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    torch.set_num_threads(2)
    try:
        found = fusion._whole(base, families.TOY, [one], tmp_path / "ledger")
    finally:
        torch.set_num_threads(threads)
    assert found["solve_14_seconds"] == found["fusion_14_seconds"] == now[0] / 2 > 0


def test_a_setting_that_does_not_fit_says_why_and_one_without_time_left_is_not_begun(
    tmp_path: Path,
) -> None:
    def make() -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB")

    grid = tuning_grid._Grid("cpu", True, tmp_path, None, started=-1e9)
    found = grid._measured("b8_plain", make) | grid._compiled(None, 4)
    assert list(found) == ["tune_b8_plain_failed", "tune_b4_cached_compiled_failed"]
    assert "Tried to allocate 3.00 GiB" in found["tune_b8_plain_failed"]


def test_where_time_goes_is_told_by_operation(parts: Path) -> None:
    figures = json.loads((parts / "tuning-grid.json").read_text())["figures"]
    spent = [each["milliseconds"] for each in figures["tune_profile"]]
    assert spent == sorted(spent, reverse=True)
    assert (
        figures["tune_profile"][0]["operation"] in (parts / "tuning-grid/profile.txt").read_text()
    )


def test_stages_of_toyworld_that_are_done_are_not_done_again(
    parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in ("vae", "unet", "encoder"):
        monkeypatch.setattr(getattr(toyworld, stage), "main", None)
    monkeypatch.setattr(
        toyworld.gates, "measure", lambda *_, **__: dict.fromkeys(toyworld.NAMES, 1)
    )
    again: dict[str, Any] = {}
    for found in toyworld.measure("cpu", True, parts / "toyworld"):
        again |= found
    before = json.loads((parts / "toyworld.json").read_text())["figures"]
    for name in ("data_seconds", "unet_seconds", "encoder_top1"):
        assert again[f"toyworld_{name}"] == before[f"toyworld_{name}"]
    assert (parts / "toyworld" / "grid.png").is_file()
    assert (parts / "toyworld" / "weights" / "SHA256SUMS").is_file()
