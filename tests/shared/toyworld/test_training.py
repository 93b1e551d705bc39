"""Training runs that are killed go on as if nothing had happened, and what they write loads."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionPipeline, T2IAdapter
from torch import Tensor

from fedshow.toyworld import WEIGHTS
from fedshow.toyworld.training import conditions, encoder, unet, vae
from fedshow.toyworld.training.conditions import ConditionSettings, build_module, open_frozen
from fedshow.toyworld.training.datasets import draw_dataset, load_captions, load_images
from fedshow.toyworld.training.loop import LoopSettings, TrainingLoop, rate_factor
from fedshow.toyworld.training.parallel import Rank
from fedshow.toyworld.training.unet import UnetSettings, stratified_timesteps, train_unet
from fedshow.toyworld.training.vae import (
    VaeSettings,
    build_vae,
    psnr,
    standardise_latents,
    to_pixels,
    train_vae,
)

ALONE = Rank(0, 1)
Loss = Callable[[torch.Generator], Tensor]


class Killed(Exception):
    """Stands for a signal."""


def settings(folder: Path, steps: int = 6) -> LoopSettings:
    return LoopSettings(
        folder=folder,
        device="cpu",
        steps=steps,
        deadline_minutes=math.inf,
        learning_rate=1e-3,
        weight_decay=1e-2,
        warmup_steps=2,
        decay_share=0.4,
        average_decay=0.9,
        clip_norm=1.0,
        seed=0,
        checkpoint_minutes=-1.0,  # after every step
    )


def tiny_loop(folder: Path) -> tuple[TrainingLoop, Loss]:
    torch.manual_seed(0)
    vae = build_vae(16, (8, 8), 2)

    def loss(generator: torch.Generator) -> Tensor:
        pixels = torch.rand(2, 3, 16, 16, generator=generator)
        error: Tensor = (vae.decode(vae.encode(pixels).latent_dist.mean).sample - pixels).square()
        return error.mean()

    return TrainingLoop(vae, settings(folder), ALONE), loss


def test_a_killed_run_resumes_to_the_same_state(tmp_path: Path) -> None:
    whole, loss = tiny_loop(tmp_path / "whole")
    whole.run(loss, lambda *_: None)
    killed, loss = tiny_loop(tmp_path / "killed")

    def dying_loss(generator: torch.Generator) -> Tensor:
        if killed.step == 3:
            raise Killed
        return loss(generator)

    with pytest.raises(Killed):
        killed.run(dying_loss, lambda *_: None)
    resumed, loss = tiny_loop(tmp_path / "killed")
    assert resumed.step == 3
    resumed.run(loss, lambda *_: None)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
        assert torch.equal(whole.average[name], resumed.average[name]), name


def test_the_rate_warms_up_and_ends_at_zero(tmp_path: Path) -> None:
    plan = replace(settings(tmp_path), warmup_steps=10)
    assert rate_factor(0, 0.0, plan) == pytest.approx(0.1)
    assert rate_factor(50, 0.5, plan) == 1
    assert rate_factor(50, 0.8, plan) == pytest.approx(0.5)
    assert rate_factor(50, 1.0, plan) == 0


def test_timesteps_of_all_processes_cover_every_stratum() -> None:
    parts = [
        stratified_timesteps(8, Rank(number, 2), torch.Generator().manual_seed(number))
        for number in range(2)
    ]
    assert sorted((torch.cat(parts) * 16 // 1000).tolist()) == list(range(16))


def test_standardised_latents_leave_pictures_alone() -> None:
    torch.manual_seed(0)
    vae = build_vae(16, (8, 8), 2)
    images = np.random.default_rng(0).integers(0, 255, (16, 16, 16, 3), np.uint8)
    before = psnr(vae, images)
    standardise_latents(vae, images, noise=0.05)
    latents = vae.encode(to_pixels(images)).latent_dist.mean
    assert latents.mean((0, 2, 3)).abs().max() < 1e-4
    assert (latents.std((0, 2, 3)) - 1).abs().max() < 1e-3
    assert psnr(vae, images) == pytest.approx(before, abs=1e-3)


def test_a_data_set_is_the_same_however_many_processes_draw_it(tmp_path: Path) -> None:
    for processes in (1, 2):
        draw_dataset(tmp_path / str(processes), "training", 20, 16, seed=1, processes=processes)
    first, second = (load_images(tmp_path / name) for name in "12")
    assert np.array_equal(first, second)
    assert load_captions(tmp_path / "1") == load_captions(tmp_path / "2")


STAGES = {
    "vae": (vae, ["--images", "a", "--validation", "b", "--channels", "8", "16"]),
    "unet": (unet, ["--images", "a", "--vae", "b", "--batch", "7"]),
    "encoder": (encoder, ["--vae", "b", "--temperature", "0.5"]),
}


def settings_on_command_line(
    stage: ModuleType, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> Any:
    """What a stage's program would train with."""
    started: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        "fedshow.toyworld.training.options.run_parallel", lambda *a: started.append(a)
    )
    monkeypatch.setattr(sys, "argv", ["train", "--folder", "f", "--processes", "3", *options])
    stage.main()
    ((_, found, processes),) = started
    assert processes == 3
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_takes_the_shared_options(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, options = STAGES[stage]
    found = settings_on_command_line(module, [*options, "--steps", "9", "--seed", "4"], monkeypatch)
    assert (found.loop.folder, found.loop.steps, found.loop.seed) == (Path("f"), 9, 4)


def test_stages_take_their_own_options(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        name: settings_on_command_line(module, [*options, "--steps", "9"], monkeypatch)
        for name, (module, options) in STAGES.items()
    }
    assert found["vae"].channels == (8, 16)
    assert (found["unet"].batch, found["unet"].channels, found["unet"].vae) == (
        7,
        (64, 128),
        Path("b"),
    )
    assert found["encoder"].temperature == 0.5
    rates = [found[name].loop.learning_rate for name in ("vae", "unet", "encoder")]
    assert rates == [2e-3, 1.5e-3, 1.5e-3]


@pytest.mark.parametrize("stage", STAGES)
def test_a_training_without_end_is_refused(stage: str, monkeypatch, capsys) -> None:
    with pytest.raises(SystemExit):
        settings_on_command_line(*STAGES[stage], monkeypatch)
    assert "--steps or --deadline-minutes" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_stages_end_in_a_pipeline_that_draws(tmp_path: Path) -> None:
    draw_dataset(tmp_path / "data", "training", 16, 16, seed=1, processes=1)
    vae_settings = VaeSettings(
        loop=settings(tmp_path / "vae", steps=2),
        images=tmp_path / "data",
        validation=tmp_path / "data",
        size=16,
        channels=(8, 8),
        latent_channels=2,
        batch=4,
        noise=0.05,
        latent_penalty=1e-3,
        squared_weight=3.0,
    )
    train_vae(vae_settings, ALONE)
    unet_settings = UnetSettings(
        loop=settings(tmp_path / "unet", steps=2),
        images=tmp_path / "data",
        vae=tmp_path / "vae" / "vae",
        channels=(16, 16),
        hidden=16,
        batch=2,
        min_snr=5.0,
        snapshot_minutes=8.0,
        compiled=False,
    )
    train_unet(unet_settings, ALONE)
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "unet" / "pipeline")
    pipeline.set_progress_bar_config(disable=True)
    (picture,) = pipeline("a robot", num_inference_steps=2, output_type="np").images
    assert picture.shape == (16, 16, 3)


@pytest.mark.parametrize("kind", ["control", "adapter"])
def test_trained_conditions_load_and_have_learnt(tmp_path: Path, kind: str) -> None:
    draw_dataset(tmp_path / "data", "training", 8, 32, seed=1, processes=1)
    torch.manual_seed(0)
    before = build_module(kind, open_frozen(WEIGHTS, "cpu")).state_dict()
    loop = settings(tmp_path / "run", steps=2)
    conditions.train_condition(
        ConditionSettings(loop, tmp_path / "data", WEIGHTS, kind, batch=2), ALONE
    )
    loader = ControlNetModel if kind == "control" else T2IAdapter
    trained = loader.from_pretrained(tmp_path / "run" / "module", use_safetensors=True)
    assert trained.dtype == torch.float32
    found = trained.state_dict()
    assert before.keys() == found.keys()
    assert not all(torch.equal(before[name].half().float(), found[name]) for name in before)


def test_a_fresh_controlnet_changes_nothing() -> None:
    """Its last convolutions begin as zeros, as those of its paper do."""
    net = build_module("control", open_frozen(WEIGHTS, "cpu"))
    when, latents = torch.tensor([3, 700]), torch.randn(2, 8, 8, 8)
    extra = conditions.residuals(net, torch.rand(2, 1, 32, 32), latents, when)
    maps = [*extra["down_block_additional_residuals"], extra["mid_block_additional_residual"]]
    assert all(not found.any() for found in maps)
