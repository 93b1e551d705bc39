"""What fits on a card while a base is recorded from, and that recordings are the same however it lies."""

from pathlib import Path

import pytest
import torch

from fedshow.errors import Exhausted
from fedshow.families import Base, memory, open_base
from fedshow.families.memory import Plan as Drawing
from fedshow.families.memory import Precision
from fedshow.families.placing import Card
from fedshow.families.placing import place as lay
from fedshow.sampling.model import Model
from fedshow_server.fusion import offline, placing, workers
from fedshow_server.fusion.layout import Job, Layout, layout, leanest
from fedshow_server.fusion.ledger.tensors import CPU
from fedshow_server.fusion.recording import Drawn, Plan, record, record_generic
from fedshow_server.fusion.workers import Here, fitted
from tests.conftest import BASE, MakeConcept
from tests.stage.sizes import SD15_WEIGHTS, SDXL_WEIGHTS

MILLION, GB = 10**6, 10**9
SD = Job(
    weights=SD15_WEIGHTS,
    pixels=512 * 512,
    pictures=16,
    widths=(1280,) * 43 + (768,) * 25,
    threads=8,
)
"""Inputs as wide together as the true ones: 0.7 GB of moments."""

XL = Job(
    weights=SDXL_WEIGHTS,
    pixels=1024 * 1024,
    pictures=16,
    widths=(2048,) * 11 + (1280,) * 384,
    threads=8,
)
"""5.4 GB of moments."""

fuse = offline.fuse
QUICK = Plan(fit_seeds=(0,), heldout_seeds=(1,), steps=1, fit_prompts=1, texts=2, things=1)


@pytest.mark.parametrize(
    ("job", "free_gb", "wanted"),
    [
        (SD, 24.0, Layout("bfloat16", 16)),
        (SD, 12.0, Layout("bfloat16", 8)),
        (SD, 8.0, Layout("bfloat16", 7)),
        (SD, 6.0, Layout("bfloat16", 4)),
        (SD, 4.0, Layout("bfloat16", 1, "parts")),
        (SD, 3.0, Layout("bfloat16", 1, on_host=True)),
        (SD, 2.0, None),
        (XL, 80.0, Layout("bfloat16", 16)),
        (XL, 24.0, Layout("bfloat16", 2)),
        (XL, 12.0, Layout("bfloat16", 2, on_host=True)),
        (XL, 8.0, Layout("bfloat16", 1, "parts", on_host=True)),
        (XL, 6.0, None),
    ],
)
def test_layouts(job: Job, free_gb: float, wanted: Layout | None) -> None:
    assert layout(int(free_gb * GB), job) == wanted


@pytest.mark.parametrize("job", [SD, XL])
def test_no_layout_needs_more_than_is_free_and_more_memory_is_never_slower(job: Job) -> None:
    before: tuple[object, ...] | None = None
    for free in range(60 * GB, 0, -GB // 4):
        found = layout(free, job, "float16")
        assert found is None or (found.needs(job) <= free and found.precision == "float16")
        rank = (
            (3,) if found is None else (found.on_host, found.placement == "parts", -found.pictures)
        )
        assert before is None or rank >= before
        before = rank
    assert before == (3,)


def test_what_is_said() -> None:
    assert str(Layout("bfloat16", 16)) == "bfloat16, everything on the card, 16 pictures at once"
    assert str(leanest("float16")) == (
        "float16, parts move to the card when they are needed, 1 picture at once, "
        "sums in host memory, and solved there"
    )


def a_card(monkeypatch: pytest.MonkeyPatch, free: float, half: Precision = "bfloat16") -> None:
    """Every device is a card of so much free memory; the processor does its work."""
    monkeypatch.setattr(placing, "card_at", lambda _: Card("cuda:0", int(free * GB), 24 * GB, half))


def test_small_bases_stay_in_full_precision(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    a_card(monkeypatch, 4.0)
    said: list[str] = []
    found = placing.settle(base, "cpu", said.append)
    assert found == Layout("float32", 16)
    assert base.dtype == torch.float32
    assert said == ["cuda:0, 4.0 GB free: float32, everything on the card, 16 pictures at once"]
    assert placing.job_of(base).pictures == 16
    assert placing.job_of(base).moments == 8 * sum(
        width**2 for width in placing.job_of(base).widths
    )


def test_too_little_memory_is_said(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    a_card(monkeypatch, 0.2)
    with pytest.raises(Exhausted, match=r"cuda:0, 0.2 GB free, .* pixels needs 0.3 GB even"):
        placing.settle(base, "cpu")


def test_the_processor_has_no_layout(base: Base) -> None:
    assert placing.settle(base, "cpu") is None
    assert fitted(QUICK, None) is QUICK


def test_what_is_recorded_does_not_depend_on_how_much_is_drawn_at_once(base: Base) -> None:
    drawn, found = Drawn(("a robot", "a bunny", "a cat"), ("a kitten",), (3, 9)), []
    for plan in (QUICK, fitted(QUICK, Layout("float32", 2)), fitted(QUICK, leanest("float16"))):
        model = Model(base)
        found.append(record(model, drawn, plan))
        model.restore()
    assert plan.settings == QUICK.settings, "ledgers of both add up"
    for name, sum_II in found[0].sums.items():
        for other in found[1:]:
            assert other.counts[name] == found[0].counts[name]
            torch.testing.assert_close(other.sums[name], sum_II, rtol=1e-4, atol=1e-3, msg=name)


def test_parts_that_come_and_go_are_recorded_the_same() -> None:
    expected = record_generic(open_base(BASE), "", QUICK)
    base = open_base(BASE)
    lay(base.pipeline, base.parts, Drawing("float32", "parts"), "cpu")
    found = record_generic(base, "", QUICK)
    assert found.given == expected.given
    for name, moment_II in expected.fit.items():
        assert torch.equal(found.fit[name], moment_II), name


def test_sums_in_host_memory_are_solved_there(base: Base) -> None:
    assert Here(base, leanest()).device == CPU
    assert Here(base, Layout("bfloat16", 2)).device == Here(base).device == base.device


def test_a_fusion_on_a_card_is_laid_out_as_it_says(
    make_concept: MakeConcept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small bases would stay in float32."""
    a_card(monkeypatch, 8.0)
    monkeypatch.setattr(memory, "SMALL_BYTES", 0)
    monkeypatch.setattr(placing, "layout", lambda *_: Layout("bfloat16", 2, on_host=True))
    plans, said = [], list[str]()
    recorded = workers.record_subject

    def watched(base: Base, subject: workers.Subject, plan: Plan) -> workers.Recorded:
        plans.append((base.dtype, plan.at_once, plan.on_host))
        return recorded(base, subject, plan)

    monkeypatch.setattr(workers, "record_subject", watched)
    monkeypatch.setattr(offline, "fuse", lambda *words, **more: fuse(*words, **more, plan=QUICK))
    files = []
    for seed, name in enumerate(("potter", "mimi")):
        files.append(tmp_path / f"{name}.safetensors")
        make_concept(name, seed).save(files[-1])
    manifest = offline.fuse_to_folder(BASE, files, tmp_path / "out", say=said.append)
    assert said[0] == (
        "cuda:0, 8.0 GB free: bfloat16, everything on the card, 2 pictures at once, "
        "sums in host memory, and solved there"
    )
    assert set(plans) == {(torch.bfloat16, 2, True)}
    assert [member.name for member in manifest.concepts] == ["mimi", "potter"]
