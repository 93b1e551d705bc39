"""Looking at real runs: what is drawn, which weights are kept, when a run ends, what survives."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from fedshow.concepts import ConceptFile
from fedshow.errors import InvalidInput
from fedshow_client.tuning.checkpoint import Progress
from fedshow_client.tuning.trainer import Trainer
from fedshow_client.tuning.tune import Stopped, TuneRequest, tune
from fedshow_client.tuning.watching import watch
from fedshow_client.tuning.watching.sample_files import PROMPTS
from fedshow_client.tuning.watching.samples import draw_samples
from fedshow_client.tuning.watching.settings import SCALES
from tests.client.tuning.conftest import MakeRequest, no_space

Script = Callable[[dict[int, float]], None]
RISING = {3: 0.2, 6: 0.4, 9: 0.6, 12: 0.8}
FALLING = {3: 0.5, 6: 0.9, 9: 0.6, 12: 0.5}


class Killed(Exception):
    """Stands for SIGKILL: nothing after it runs."""


def same(first: ConceptFile, second: ConceptFile) -> bool:
    """Whether two concepts have equal weights, to the bit."""
    one, other = first.tensors(), second.tensors()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def killed_after(request: TuneRequest, step: int) -> None:
    """Runs until `step` is done, and no further."""

    def kill(now: Progress, _: int) -> None:
        if now.step == step:
            raise Killed

    with pytest.raises(Killed):
        tune(request, kill)


def test_a_real_run_leaves_pictures_scores_and_the_same_file_after_a_kill(
    request_in: MakeRequest, tmp_path: Path
) -> None:
    undisturbed = tune(request_in(tmp_path / "a", sample_steps=6))
    metrics = undisturbed.header.metrics
    assert metrics["steps"] == 12
    assert metrics["kept_step"] in (6, 12)
    assert -1 <= metrics["identity"] <= 1
    assert 0 <= metrics["text"] <= 1
    samples = tmp_path / "a" / "work" / "samples"
    files = sorted(path.name for path in samples.iterdir())
    assert len(files) == 2 * len(SCALES) * len(PROMPTS)
    assert {name.split("-")[0] for name in files} == {"step000006", "step000012"}
    with Image.open(samples / files[0]) as image:
        assert image.size == (32, 32)
    killed_after(request_in(tmp_path / "b", sample_steps=6), 11)
    resumed = tune(request_in(tmp_path / "b", sample_steps=6))
    assert same(undisturbed, resumed)
    assert resumed.header.metrics == metrics


def test_looking_changes_nothing_that_is_learnt(request_in: MakeRequest, tmp_path: Path) -> None:
    watched = tune(request_in(tmp_path / "a", sample_steps=6, keep_best=False))
    alone = tune(request_in(tmp_path / "b", samples=False))
    assert same(watched, alone)
    assert not (tmp_path / "b" / "work" / "samples").exists()
    assert "identity" not in alone.header.metrics
    assert alone.header.metrics["kept_step"] == 12


def test_pictures_at_scale_zero_show_the_embedding_alone(
    make_trainer: Callable[..., Trainer],
) -> None:
    trainer = make_trainer()
    at_once = draw_samples(trainer.model, "gloop")
    for _, adapter in trainer.adapters.items():
        adapter.up_OR.data.fill_(0.3)
    later = draw_samples(trainer.model, "gloop")
    scales = [sample.scale for sample in later]
    changed = [a.image.tobytes() != b.image.tobytes() for a, b in zip(at_once, later, strict=True)]
    assert changed == [scale > 0 for scale in scales]
    assert set(scales) == {0, 0.7, 1}


def test_a_base_in_16_bits_draws_too(make_trainer: Callable[..., Trainer]) -> None:
    """As cards have it."""
    trainer = make_trainer()
    parts = [*trainer.base.components.values(), trainer.base.pipeline.vae]
    try:
        for part in parts:
            part.to(torch.bfloat16)
        assert len(draw_samples(trainer.model, "gloop")) == len(SCALES) * len(PROMPTS)
    finally:
        for part in parts:
            part.to(torch.float32)


def test_the_file_gets_the_weights_of_the_best_look(
    request_in: MakeRequest, scripted: Script, tmp_path: Path
) -> None:
    seen: dict[int, dict[str, torch.Tensor]] = {}
    look = watch.Watch.look

    def remember(self: watch.Watch, progress: Progress, tensors: watch.Tensors) -> None:
        seen[progress.step] = {key: value.clone().half() for key, value in tensors().items()}
        look(self, progress, tensors)

    scripted(FALLING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch.Watch, "look", remember)
        concept = tune(request_in(tmp_path / "a"))
    assert concept.header.metrics["kept_step"] == 6
    assert concept.header.metrics["identity"] == 0.9
    tensors = concept.tensors()
    assert all(torch.equal(tensors[key], value) for key, value in seen[6].items())
    scripted(RISING)
    assert tune(request_in(tmp_path / "b")).header.metrics["kept_step"] == 12
    scripted(FALLING)
    last = tune(request_in(tmp_path / "c", keep_best=False))
    assert last.header.metrics["kept_step"] == 12
    assert same(last, tune(request_in(tmp_path / "b")))


@pytest.mark.parametrize("step", [2, 3, 6, 7, 9, 12])
def test_the_best_look_survives_a_kill_at_any_step(
    request_in: MakeRequest, scripted: Script, tmp_path: Path, step: int
) -> None:
    scripted(FALLING)
    undisturbed = tune(request_in(tmp_path / "a"))
    killed_after(request_in(tmp_path / "b"), step)
    resumed = tune(request_in(tmp_path / "b"))
    assert same(undisturbed, resumed)
    assert resumed.header.metrics == undisturbed.header.metrics


def test_a_kill_between_a_look_and_its_checkpoint_leaves_the_best_before(
    request_in: MakeRequest, scripted: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where numbers do not repeat exactly (on cards), the look may turn out otherwise."""
    scripted({3: 0.5, 6: 0.9})

    def kill(_: object, progress: Progress) -> None:
        if progress.step == 6:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("fedshow_client.tuning.tune._Run.tell", kill)
        with pytest.raises(Killed):
            tune(request_in(tmp_path))
    scripted({6: 0.2, 9: 0.2, 12: 0.2})
    concept = tune(request_in(tmp_path))
    assert concept.header.metrics["kept_step"] == 3


def test_patience_ends_a_run_whose_scores_fall_and_a_second_start_does_not_go_on(
    request_in: MakeRequest, scripted: Script, tmp_path: Path
) -> None:
    scripted(FALLING)
    steps: list[int] = []
    concept = tune(request_in(tmp_path, patience=1), lambda now, _: steps.append(now.step))
    assert steps[-1] == 9
    assert concept.header.metrics["steps"] == 9
    assert concept.header.metrics["kept_step"] == 6
    again = tune(request_in(tmp_path, patience=1), lambda now, _: steps.append(now.step))
    assert steps[-1] == 9
    assert same(concept, again)
    scripted(FALLING)
    assert tune(request_in(tmp_path / "b", patience=3)).header.metrics["steps"] == 12


def test_starting_over_forgets_the_looks(
    request_in: MakeRequest, scripted: Script, tmp_path: Path
) -> None:
    scripted(FALLING)
    tune(request_in(tmp_path))
    scripted(RISING)
    concept = tune(replace(request_in(tmp_path), resume=False))
    assert concept.header.metrics["kept_step"] == 12


def test_a_full_disk_costs_pictures_and_page_but_not_the_run(
    request_in: MakeRequest,
    scripted: Script,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scripted(RISING)
    monkeypatch.setattr(Image.Image, "save", no_space)
    monkeypatch.setattr("fedshow_client.tuning.watching.looks.write_atomically", no_space)
    monkeypatch.setattr("fedshow_client.tuning.watching.report.write_atomically", no_space)
    with caplog.at_level(logging.WARNING):
        concept = tune(request_in(tmp_path))
    assert concept.header.metrics["kept_step"] == 12
    assert not list(tmp_path.glob("*.html"))
    said = [record.getMessage() for record in caplog.records]
    assert "pictures cannot be written (No space left on device); tuning goes on" in said
    assert any("gloop.report.html cannot be written" in text for text in said)


def test_best_weights_that_could_not_be_written_are_not_promised(
    request_in: MakeRequest,
    scripted: Script,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scripted(FALLING)
    monkeypatch.setattr("fedshow_client.tuning.watching.keeping.write_atomically", no_space)
    concept = tune(request_in(tmp_path / "a"))
    assert concept.header.metrics["kept_step"] == 12
    assert "the weights of step 6 are lost" in caplog.text
    assert same(concept, tune(request_in(tmp_path / "b", keep_best=False)))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_no_memory_for_pictures_ends_the_pictures_not_the_run(
    request_in: MakeRequest,
    scripted: Script,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    drawn: list[str] = []

    def draw(_: object, name: str) -> None:
        drawn.append(name)
        raise error

    monkeypatch.setattr(watch, "draw_samples", draw)
    concept = tune(request_in(tmp_path))
    assert concept.header.metrics == {**concept.header.metrics, "steps": 12, "kept_step": 12}
    assert drawn == ["gloop"], "a second try would only fail again"
    assert "no memory for pictures at step 3" in caplog.text


def test_pictures_show_the_average_when_the_file_gets_it(
    make_trainer: Callable[..., Trainer],
) -> None:
    trainer = make_trainer(ema=0.9)
    trainer.run(now := Progress(), lambda *_: None, lambda: now.step >= 3)
    wanted = {key: value.clone() for key, value in trainer.concept_tensors().items()}
    own = {key: value.detach().clone() for key, value in trainer.parameters().items()}
    with trainer.average.in_place():
        shown = {key: value.detach().clone() for key, value in trainer.parameters().items()}
    assert all(torch.equal(shown[key], wanted[key]) for key in shown)
    assert any(not torch.equal(shown[key], own[key]) for key in shown)
    assert all(torch.equal(own[key], value) for key, value in trainer.parameters().items())


def test_other_bases_have_pictures_without_scores_and_the_page_says_so(
    request_in: MakeRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedshow_client.tuning.tune.scorer_for", lambda *_: None)
    request = request_in(tmp_path, sample_steps=12)
    concept = tune(request)
    assert set(concept.header.metrics) == {"loss", "steps", "kept_step"}
    assert list((tmp_path / "work/samples").glob("*.png"))
    page = request.report.read_text()
    assert "No scores" in page
    assert "--scorer" in page


def test_a_stopped_run_has_a_page_and_goes_on(
    request_in: MakeRequest, scripted: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(RISING)
    request = request_in(tmp_path)

    def run_to_four(trainer: Trainer, progress: Progress, report: object, _: object) -> None:
        run(trainer, progress, report, lambda: progress.step >= 4)  # type: ignore[arg-type]

    run = Trainer.run
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", run_to_four)
        with pytest.raises(Stopped):
            tune(request)
    assert "Still being tuned: 3 of 12 steps" in request.report.read_text()
    tune(request)
    assert "Tuned in 12 steps" in request.report.read_text()


def test_what_is_asked_for_and_not_there_is_said_before_any_work(
    request_in: MakeRequest, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere"
    silent = {"samples": False}
    for settings in ({"scorer": nowhere}, {"scorer": nowhere, **silent}, {"patience": 1, **silent}):
        request = replace(request_in(tmp_path, **settings), images=tmp_path / "no images either")
        with pytest.raises(InvalidInput, match=r"scorer|--patience"):
            tune(request)
