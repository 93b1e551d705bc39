"""No card is needed to know that a step's tensors would all lie on it: torch's `meta` stands for one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedshow.toyworld import WEIGHTS
from fedshow.toyworld.training import encoder, unet, vae
from fedshow.toyworld.training.datasets import draw_dataset
from fedshow.toyworld.training.loop import LoopSettings
from fedshow.toyworld.training.parallel import Rank

ALONE = Rank(0, 1)
MODULES = {"vae": vae, "unet": unet, "encoder": encoder}


class OneStep:
    """Stands for the loop: one loss and its gradients."""

    losses: list[Tensor]

    def __init__(self, model: torch.nn.Module, *_: Any) -> None:
        self.model = model

    def run(self, loss: Any, _report: Any) -> None:
        found = loss(torch.Generator().manual_seed(0))
        found.backward()
        gradients = [p.grad for p in self.model.parameters() if p.requires_grad]
        assert all(grad is not None and grad.device.type == "meta" for grad in gradients)
        self.losses.append(found)
        raise StopIteration  # what follows writes files


@pytest.fixture
def fake_card(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Losses of steps on a card that does not exist; an operation on tensors of two devices fails."""
    OneStep.losses = []
    for module in MODULES.values():
        monkeypatch.setattr(module, "TrainingLoop", OneStep)
        if hasattr(module, "normal"):
            monkeypatch.setattr(
                module, "normal", lambda like, _: torch.randn(like.shape, device=like.device)
            )
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    return OneStep.losses


def loop(folder: Path) -> LoopSettings:
    return LoopSettings(folder, "meta", 1, math.inf, 1e-3, 0, 1, 0.4, 0.9, 1.0, 0, 1.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("data")
    draw_dataset(folder, "training", 4, 16, seed=1, processes=1)
    return folder


def test_the_autoencoder_trains_on_the_card(
    tmp_path: Path, data: Path, fake_card: list[Tensor]
) -> None:
    settings = vae.VaeSettings(loop(tmp_path), data, data, 16, (8, 8), 2, 2, 0.05, 1e-3, 3.0)
    with pytest.raises(StopIteration):
        vae.train_vae(settings, ALONE)
    assert fake_card[0].device.type == "meta"


def test_the_denoiser_trains_on_the_card(
    tmp_path: Path, data: Path, fake_card: list[Tensor]
) -> None:
    settings = unet.UnetSettings(loop(tmp_path), data, data, (16, 16), 16, 2, 5.0, 8.0, False)
    np.save(unet.latents_path(settings, 0), np.zeros((4, 2, 8, 8), np.float16))
    with pytest.raises(StopIteration):
        unet.train_unet(settings, ALONE)
    assert fake_card[0].device.type == "meta"


def test_the_encoder_trains_on_the_card(
    tmp_path: Path, data: Path, fake_card: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "heldout_trial", lambda _: None)
    monkeypatch.setattr(encoder, "through_vae", lambda _vae, images, *_: images)
    settings = encoder.EncoderSettings(loop(tmp_path), WEIGHTS / "vae", 8, 4, 8, 2, 0.1)
    with pytest.raises(StopIteration):
        encoder.train_encoder(settings, ALONE)
    assert fake_card[0].device.type == "meta"
