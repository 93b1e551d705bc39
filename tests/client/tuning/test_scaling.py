"""Half precision of old cards: what is too large at one scale is tried again at a smaller one."""

import pytest
import torch
from torch import Tensor

from fedshow.errors import FedshowError
from fedshow_client.tuning import scaling
from fedshow_client.tuning.scaling import SCALES, UNSCALED, scales_for
from fedshow_client.tuning.trainer import Trainer
from tests.client.tuning.conftest import MakeTrainer

INFINITE = float("inf")


def after(
    trainer: Trainer, scales: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Tensor]:
    """What a step with these scales makes of the parameters."""
    monkeypatch.setattr("fedshow_client.tuning.trainer.scales_for", lambda _: scales)
    trainer.step(0)
    return {key: value.detach().clone() for key, value in trainer.parameters().items()}


def test_only_float16_is_scaled() -> None:
    assert scales_for(torch.float16) == SCALES
    assert scales_for(torch.bfloat16) == scales_for(torch.float32) == UNSCALED


def test_a_scale_changes_no_step(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = after(make_trainer(), UNSCALED, monkeypatch)
    scaled = after(make_trainer(), (2.0**8,), monkeypatch)
    for key, value in plain.items():
        torch.testing.assert_close(scaled[key], value, msg=key)


def test_a_scale_that_is_too_large_gives_way_to_a_smaller_one(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = after(make_trainer(), (2.0**8,), monkeypatch)
    again = after(make_trainer(), (INFINITE, 2.0**8), monkeypatch)
    assert all(torch.equal(again[key], value) for key, value in plain.items())


def test_gradients_that_are_no_numbers_change_nothing(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()
    before = {key: value.detach().clone() for key, value in trainer.parameters().items()}
    with pytest.raises(FedshowError, match="step 0 are too large for float16"):
        after(trainer, (INFINITE, INFINITE), monkeypatch)
    assert all(torch.equal(trainer.parameters()[key], value) for key, value in before.items())
    assert scaling.unscale(trainer.optimizer, 1.0), "nothing of them is left"
