"""Flow matching: straight lines from pictures to noise."""

from types import SimpleNamespace

import pytest
import torch

from fedshow_client.tuning.objective import FlowObjective
from fedshow_client.tuning.recipe import Recipe


@pytest.fixture
def objective() -> FlowObjective:
    scheduler = SimpleNamespace(config=SimpleNamespace(num_train_timesteps=1000))
    return FlowObjective(scheduler, Recipe(), torch.device("cpu"))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_lines_lead_from_the_picture_to_noise(objective: FlowObjective) -> None:
    clean, noise = torch.randn(2, 3, 4, 4, 4, generator=generator()).unbind()
    times = torch.tensor([0.0, 250.0, 1000.0])
    noisy = objective.noisy(clean, noise, times)
    torch.testing.assert_close(noisy[0], clean[0])
    torch.testing.assert_close(noisy[1], 0.75 * clean[1] + 0.25 * noise[1])
    torch.testing.assert_close(noisy[2], noise[2])


def test_whoever_predicts_the_lines_has_no_error(objective: FlowObjective) -> None:
    clean, noise = torch.randn(2, 3, 4, 4, 4, generator=generator()).unbind()
    times, weights = objective.times(3, generator()), torch.ones(3, 1, 4, 4)
    assert objective.loss(noise - clean, clean, noise, times, weights) == 0
    assert objective.loss(noise, clean, noise, times, weights) > 0.5


def test_times_are_of_every_part_and_mostly_in_the_middle(objective: FlowObjective) -> None:
    times = objective.times(1000, generator())
    assert 0 < times.min() < times.max() < 1000
    assert times.median() == pytest.approx(500, abs=5)
    middle = ((times > 250) & (times < 750)).float().mean()
    assert middle == pytest.approx(0.728, abs=0.01), "logit-normal"
