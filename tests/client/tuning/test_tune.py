"""Tuning on the embedded base: what changes, what does not, and going on after a stop."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fedshow.concepts import read_concept
from fedshow.demo.folders import Person
from fedshow.errors import BaseMismatch, Damaged, FedshowError, InvalidInput
from fedshow.families import BaseCard
from fedshow_client.tuning.checkpoint import FILE_NAME, Progress
from fedshow_client.tuning.data.folder import scan
from fedshow_client.tuning.trainer import Trainer
from fedshow_client.tuning.tune import Stopped, tune
from tests.client.tuning.conftest import MakeRequest, no_space
from tests.conftest import BASE


def test_everything_that_should_learn_does_and_the_base_does_not(
    request_in: MakeRequest, card: BaseCard, tmp_path: Path
) -> None:
    concept = tune(request_in(tmp_path))
    assert concept.header.base == card.ref
    tensors = concept.tensors()
    for layer in card.layers:
        assert tensors[f"{layer}.lora_B.weight"].abs().max() > 0, layer
    for word in ("<gloop1>", "<gloop2>"):
        rows = tensors[f"tokens.{word}"].float()
        assert (rows - rows[0]).abs().max() > 0, "slots must have become different"
    from fedshow.families import open_base

    assert open_base(BASE).card.sha256 == card.sha256


def test_another_base_than_the_wanted_one_is_refused_before_any_work(
    request_in: MakeRequest, card: BaseCard, tmp_path: Path
) -> None:
    with pytest.raises(BaseMismatch, match=f"{card.sha256[:12]}, wanted is cccccccccccc$"):
        tune(request_in(tmp_path, base_sha256="c" * 64))
    assert list(tmp_path.iterdir()) == []
    assert tune(request_in(tmp_path, {"steps": 1}, base_sha256=card.sha256))


def test_a_caption_that_cannot_be_read_is_named_before_any_work(
    request_in: MakeRequest, person: Person, tmp_path: Path
) -> None:
    images = shutil.copytree(person.images, tmp_path / "images")
    first = scan(images).accepted[0].path
    first.with_suffix(".txt").write_text("a monster, <lora:foo:1>")
    with pytest.raises(InvalidInput, match=rf"caption of {first.name}: <lora:foo:1> in the prompt"):
        tune(request_in(tmp_path, images=images))
    assert not (tmp_path / "work").exists()


class Killed(Exception):
    """Stands for SIGKILL: nothing after it runs."""


@pytest.mark.parametrize("at", [1, 2, 5])
def test_a_killed_run_ends_with_the_very_same_file(
    request_in: MakeRequest, tmp_path: Path, at: int
) -> None:
    undisturbed = tune(request_in(tmp_path / "a"))

    def kill(now: Progress, _: int) -> None:
        if now.step == at:
            raise Killed

    with pytest.raises(Killed):
        tune(request_in(tmp_path / "b"), kill)
    resumed = tune(request_in(tmp_path / "b"))
    expected, found = undisturbed.tensors(), resumed.tensors()
    assert all(torch.equal(expected[key], found[key]) for key in expected)


DYING = """
import os, signal
from fedshow.cli import main
from fedshow_client.tuning.trainer import Trainer

real = Trainer.step

def step(trainer, index):
    if str(index) == os.environ.get("DIES_AT"):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(trainer, index)

Trainer.step = step
main()
"""
"""`fedshow`, whose tuning is killed at a step."""


def test_a_process_killed_three_times_ends_with_the_very_same_file(
    request_in: MakeRequest, person: Person, tmp_path: Path
) -> None:
    """SIGKILL before the first checkpoint, between two, and after the last that a run makes."""
    undisturbed = tune(request_in(tmp_path / "a", {"steps": 40}, checkpoint_steps=15))
    out, progress = tmp_path / "b" / "gloop.safetensors", tmp_path / "progress"
    out.parent.mkdir()
    command = [
        *(sys.executable, "-c", DYING, "tune", str(person.images), "--name", "gloop"),
        *("--class", "monster", "--base", BASE, "-o", str(out), "--progress", str(progress)),
        *("--checkpoint-steps", "15", "--steps", "40", "--set", "variants=2"),
        *("--no-samples", "--no-leakage"),
    ]
    for last in (5, 20, 35):
        child = subprocess.run(command, env={**os.environ, "DIES_AT": str(last)}, check=False)
        assert child.returncode == -signal.SIGKILL
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert [json.loads(text)["step"] for text in progress.read_text().splitlines()][-1] == 40
    expected, found = undisturbed.tensors(), read_concept(out).tensors()
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_full_disk_ends_with_a_sentence_and_keeps_the_last_checkpoint(
    request_in: MakeRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[bytes] = []

    def fill_disk(now: Progress, _: int) -> None:
        if now.step == 3:
            kept.append((tmp_path / "work" / FILE_NAME).read_bytes())
            monkeypatch.setattr(os, "fsync", no_space)

    with pytest.raises(FedshowError, match=r"no space for a checkpoint .* at step 4"):
        tune(request_in(tmp_path), fill_disk)
    assert [(tmp_path / "work" / FILE_NAME).read_bytes()] == kept
    monkeypatch.undo()
    steps: list[int] = []
    tune(request_in(tmp_path), lambda now, _: steps.append(now.step))
    assert steps[0] == 3


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError("RAM")]
)
def test_out_of_memory_says_what_to_do(
    request_in: MakeRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def burst(*_: object) -> float:
        raise error

    monkeypatch.setattr(Trainer, "step", burst)
    with pytest.raises(FedshowError, match="out of memory at step 0: use a smaller --set batch"):
        tune(request_in(tmp_path))


def test_a_broken_checkpoint_is_named(request_in: MakeRequest, tmp_path: Path) -> None:
    tune(request_in(tmp_path))
    file = tmp_path / "work" / FILE_NAME
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(Damaged, match="broken checkpoint"):
        tune(request_in(tmp_path))
    tune(request_in(tmp_path, resume=False))


def test_sigterm_saves_and_stops(request_in: MakeRequest, tmp_path: Path) -> None:
    def ask(now: Progress, _: int) -> None:
        if now.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="step 3 of 6"):
        tune(request_in(tmp_path), ask)
    steps: list[int] = []
    tune(request_in(tmp_path), lambda now, _: steps.append(now.step))
    assert steps == [4, 5, 6]


def test_checkpoint_of_other_settings_is_not_touched(
    request_in: MakeRequest, tmp_path: Path
) -> None:
    tune(request_in(tmp_path))
    before = (tmp_path / "work" / FILE_NAME).read_bytes()
    with pytest.raises(InvalidInput, match="other images or settings"):
        tune(request_in(tmp_path, {"steps": 7}))
    assert (tmp_path / "work" / FILE_NAME).read_bytes() == before
    tune(request_in(tmp_path, {"steps": 7}, resume=False))


def test_nan_ends_with_a_sentence_and_what_it_says_helps(
    request_in: MakeRequest, tmp_path: Path
) -> None:
    """The checkpoint before may be ruined already: a step's loss is that of the weights before it."""
    wild = request_in(tmp_path, {"lr_unet": 1e30}, checkpoint_steps=1)
    with pytest.raises(
        FedshowError, match=r"loss is .* learning rates and start over with --no-resume"
    ):
        tune(wild)
    assert not (tmp_path / "gloop.safetensors").exists()
    tune(request_in(tmp_path, resume=False))


def test_bad_input_is_refused(request_in: MakeRequest, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"'robotmonster' is \d tokens"):
        tune(request_in(tmp_path, class_word="robotmonster"))
    with pytest.raises(InvalidInput, match="concept name 'Gloop!'"):
        tune(request_in(tmp_path, name="Gloop!"))
    with pytest.raises(InvalidInput, match="base 'nowhere'"):
        tune(request_in(tmp_path, base="nowhere"))
    assert not (tmp_path / "gloop.safetensors").exists()
