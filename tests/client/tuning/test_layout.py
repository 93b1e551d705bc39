"""What fits on a card while a concept is tuned, and that a run on one is laid out so."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from fedshow.edlora.methods import METHODS
from fedshow.errors import Exhausted, InvalidInput
from fedshow.families import Base, memory, open_base
from fedshow.families.memory import Precision
from fedshow.families.placing import Card, visiting
from fedshow.families.sd1 import SD1
from fedshow.families.sdxl import SDXL
from fedshow_client.tuning import placing
from fedshow_client.tuning.data.folder import Candidate
from fedshow_client.tuning.layout import Job, Layout, encoded_at_once, largest_batch, layout
from fedshow_client.tuning.preparing import Lesson
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.tune import tune
from fedshow_client.tuning.watching.settings import WatchSettings
from tests.client.tuning.conftest import MakeRequest
from tests.conftest import BASE
from tests.stage.sizes import SD15_WEIGHTS, SDXL_WEIGHTS

MILLION, GB = 10**6, 10**9
SD = Job(
    weights=SD15_WEIGHTS,
    pixels=512 * 512,
    batch=4,
    learnt=MILLION,
    read=16 * 77 * 12 * 768,
    kept_bytes=SD1.kept_bytes,
)
XL = Job(
    weights=SDXL_WEIGHTS,
    pixels=1024 * 1024,
    batch=4,
    learnt=6 * MILLION,
    read=12 * 77 * (12 * 768 + 32 * 1280),
    kept_bytes=SDXL.kept_bytes,
)
TOY = replace(
    SD,
    weights={"text_encoder": MILLION, "unet": 4 * MILLION, "vae": MILLION},
    pixels=64 * 64,
    read=MILLION,
)


@pytest.mark.parametrize(
    ("job", "free_gb", "wanted"),
    [
        (SD, 24.0, Layout("bfloat16")),
        (SD, 12.0, Layout("bfloat16")),
        (SD, 8.0, Layout("bfloat16")),
        (SD, 6.9, Layout("bfloat16", tiled=True, away=True)),
        (SD, 6.0, Layout("bfloat16", twice=True)),
        (SD, 4.0, None),
        (replace(SD, draws=False), 4.1, Layout("bfloat16", twice=True)),
        (replace(SD, batch=16), 24.0, Layout("bfloat16")),
        (replace(SD, batch=16), 12.0, Layout("bfloat16", twice=True)),
        (XL, 80.0, Layout("bfloat16")),
        (XL, 24.0, Layout("bfloat16", twice=True)),
        (XL, 12.0, Layout("bfloat16", tiled=True, twice=True)),
        (XL, 11.65, Layout("bfloat16", tiled=True, away=True, twice=True)),
        (XL, 8.0, None),
        (TOY, 1.0, Layout("float32")),
    ],
)
def test_layouts(job: Job, free_gb: float, wanted: Layout | None) -> None:
    assert layout(int(free_gb * GB), job) == wanted


@pytest.mark.parametrize("job", [SD, XL, replace(XL, draws=False)])
def test_no_layout_needs_more_than_is_free_and_more_memory_is_never_slower(job: Job) -> None:
    before: tuple[bool, ...] | None = None
    for free in range(50 * GB, 0, -GB // 4):
        found = layout(free, job, "float16")
        assert found is None or (found.needs(job) <= free and found.precision == "float16")
        rank = (found is None, *((found.twice, found.away, found.tiled) if found else ()))
        assert before is None or rank >= before
        before = rank
    assert before == (True,)


def test_a_batch_that_fits_is_found() -> None:
    free = 10 * GB
    large = replace(SD, batch=64)
    assert layout(free, large) is None
    batch = largest_batch(free, large)
    assert 1 < batch < 64
    assert layout(free, replace(large, batch=batch)) is not None
    assert layout(free, replace(large, batch=batch + 1)) is None
    assert largest_batch(2 * GB, large) == 0


def test_the_autoencoder_encodes_as_much_at_once_as_fits() -> None:
    weights, most = 84 * MILLION, 1 << 20
    assert encoded_at_once(24 * GB, weights, most) == encoded_at_once(6 * GB, weights, most) == most
    assert 512 * 512 < encoded_at_once(3 * GB, weights, most) < most
    assert encoded_at_once(GB // 2, weights, most) == 0


def test_what_is_said() -> None:
    assert str(Layout("bfloat16")) == "bfloat16, everything on the card"
    assert str(Layout("float16", tiled=True, away=True, twice=True)) == (
        "float16, the autoencoder moves to the card when it is needed, pictures decoded in tiles, "
        "activations computed twice (slower by about a third)"
    )


def a_card(
    monkeypatch: pytest.MonkeyPatch,
    free: float,
    half: Precision = "bfloat16",
    total: float | None = None,
) -> None:
    """Every device is a card of so much memory, all free unless said; the processor does its work."""
    card = Card("cuda:0", int(free * GB), int((total or free) * GB), half)
    monkeypatch.setattr(placing, "card_at", lambda _: card)


@pytest.mark.parametrize(
    ("job", "free_gb", "advice"),
    [
        (replace(SD, batch=16), 6.0, "use --set batch=10"),
        (SD, 4.0, "use --no-samples --no-leakage"),
        (SD, 3.0, "use --no-samples --no-leakage --set batch=1"),
        (XL, 8.0, "use --device cpu"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(
    job: Job, free_gb: float, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_card(monkeypatch, free_gb)
    with pytest.raises(InvalidInput) as refused:
        placing.choose("cuda", job, lambda _: None)
    line = str(refused.value)
    assert line.startswith(f"cuda:0, {free_gb:.1f} GB free, tuning with a batch of {job.batch} x ")
    assert line.endswith(advice)


def test_a_card_that_others_have_filled_is_no_fault_of_the_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_card(monkeypatch, 4.0, total=24.0)
    with pytest.raises(Exhausted) as refused:
        placing.choose("cuda", SD, lambda _: None)
    line = str(refused.value)
    assert line.startswith("cuda:0, 4.0 GB free, tuning with a batch of 4 x 262144 pixels needs 4.")
    assert line.endswith(
        "others have the rest of its 24.0 GB; try again when they are done, "
        "or use --no-samples --no-leakage"
    )
    a_card(monkeypatch, 3.0, total=4.0)
    with pytest.raises(InvalidInput):
        placing.choose("cuda", SD, lambda _: None)


def test_the_processor_has_no_plan(base: Base) -> None:
    said: list[str] = []
    assert placing.choose("cpu", SD, said.append) is None
    placing.place(base, None, "cpu")
    assert said == []
    assert placing.place_to_encode(base, "cpu", 77) == ("cpu", 77)


def test_a_card_without_room_for_a_picture_leaves_encoding_to_the_processor(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_card(monkeypatch, 8.0)
    assert placing.place_to_encode(base, "cuda", 1 << 20) == ("cuda", 1 << 20)
    a_card(monkeypatch, 0.2)
    assert placing.place_to_encode(base, "cuda", 1 << 20) == ("cpu", 1 << 20)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_what_is_learnt_is_counted_from_above(base: Base, method: str) -> None:
    recipe = Recipe.for_base(base, method)
    layers = METHODS[method].layers(base.family, base.layers)
    adapters = METHODS[method].adapters(layers, recipe.rank, recipe.alpha, torch.Generator())
    learnt = sum(value.numel() for value in adapters.parameters() if value.requires_grad)
    job = placing.job_of(base, recipe, METHODS[method], 1, draws=True)
    assert learnt <= job.learnt <= 3 * learnt
    assert job.pixels == base.sample_pixels**2
    assert job.weights["unet"] == sum(weight.numel() for weight in base.denoiser.parameters())


def test_captions_of_their_own_make_texts_differ(base: Base) -> None:
    def texts(*captions: str | None) -> int:
        images = [Candidate(Path(f"{k}.png"), (64, 64), caption=c) for k, c in enumerate(captions)]
        return Lesson("gloop", "monster", images, Recipe.for_base(base, batch=3)).texts

    assert texts(None, None, None, None) == 1
    assert texts("one", None, None) == 2
    assert texts("one", "two", "three", "four") == 3


class Part(nn.Module):
    """Remembers where it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.sent: list[object] = []

    def to(self, *where: Any, **_: Any) -> Any:
        self.sent += where
        return self


@pytest.mark.parametrize("away", [True, False])
def test_only_the_autoencoder_stays_behind(away: bool) -> None:
    parts = {"text_encoder": Part(), "unet": Part(), "vae": Part()}
    parts["vae"].enable_tiling = lambda: parts["vae"].sent.append("tiles")  # type: ignore[assignment]
    parts["unet"].enable_gradient_checkpointing = lambda: None  # type: ignore[assignment]
    base: Any = SimpleNamespace(parts=parts, vae=parts["vae"], denoiser=parts["unet"])
    placing.place(base, Layout("float16", tiled=True, away=away, twice=True), "cuda")
    for name, part in parts.items():
        went = ["cuda"] if name != "vae" or not away else []
        assert part.sent == [torch.float16, *went, *(["tiles"] if name == "vae" else [])], name


def test_a_visitor_goes_home_whatever_happens() -> None:
    part = Part()
    with pytest.raises(InvalidInput), visiting(part, torch.device("meta")):
        raise InvalidInput(str(part.sent[-1]))
    assert part.sent == [torch.device("meta"), torch.device("cpu")]


@pytest.mark.parametrize(("half", "draws"), [("bfloat16", True), ("float16", False)])
def test_a_run_on_a_card_is_laid_out_as_it_says(
    request_in: MakeRequest,
    tmp_path: Path,
    half: Precision,
    draws: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Small bases would stay in float32; the leanest layout of all, drawing and leakage included."""
    a_card(monkeypatch, 8.0, half)
    monkeypatch.setattr(memory, "SMALL_BYTES", 0)
    leanest = Layout(half, tiled=True, away=True, twice=True)
    monkeypatch.setattr(placing, "layout", lambda *_: leanest)
    seen, said = [], list[str]()

    def place(base: Base, found: Layout | None, device: str) -> None:
        placed(base, found, device)
        seen.append((base.dtype, base.vae.dtype, base.denoiser.is_gradient_checkpointing))

    placed = placing.place
    monkeypatch.setattr("fedshow_client.tuning.preparing.place", place)
    watch = WatchSettings(samples=draws, sample_steps=2 if draws else None)
    request = request_in(tmp_path, {"steps": 2}, watch=watch, leakage=draws)
    concept = tune(request, say=said.append)
    dtype = getattr(torch, half)
    assert seen == [(dtype, dtype, True)]
    assert said == [f"cuda:0, 8.0 GB free: {leanest}"]
    for layer in open_base(BASE).card.layers:
        assert concept.tensors()[f"{layer}.lora_B.weight"].abs().max() > 0, layer
    assert ("leakage" in concept.header.metrics) == draws
    assert bool(list((request.work / "samples").glob("*.png"))) == draws


def test_small_bases_stay_in_full_precision_and_learn_what_processors_teach(
    request_in: MakeRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = WatchSettings(samples=False)
    expected = tune(request_in(tmp_path / "cpu", {"steps": 2}, watch=watch))
    a_card(monkeypatch, 2.0)
    said: list[str] = []
    found = tune(request_in(tmp_path / "card", {"steps": 2}, watch=watch), say=said.append)
    assert said == ["cuda:0, 2.0 GB free: float32, everything on the card"]
    for key, value in expected.tensors().items():
        assert torch.equal(found.tensors()[key], value), key
