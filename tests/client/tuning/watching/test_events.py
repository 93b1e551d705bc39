"""TensorBoard's events, read back with TensorBoard."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedshow.errors import InvalidInput
from fedshow_client.tuning.checkpoint import Progress
from fedshow_client.tuning.tune import tune
from fedshow_client.tuning.watching.events import Events
from fedshow_client.tuning.watching.looks import Look
from fedshow_client.tuning.watching.settings import WatchSettings
from tests.client.tuning.conftest import MakeRequest, no_space
from tests.client.tuning.watching.conftest import plain_samples


def test_without_the_package_it_is_said_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InvalidInput, match=r"pip install 'fedshow\[tensorboard\]'"):
        WatchSettings(tensorboard=tmp_path).check()
    WatchSettings().check()


def read_back(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return found


@pytest.mark.skipif(not importlib.util.find_spec("tensorboard"), reason="fedshow[tensorboard]")
def test_losses_scores_and_pictures_are_read_by_tensorboard(tmp_path: Path) -> None:
    rows = [[0.1, 0.3], [0.4, 0.6], [0.7, 0.9]]
    events = Events(tmp_path, 0)
    for step in range(1, 6):
        events.step(Progress(step, [1 / step], seconds=2.0 * step))
    events.look(Look(5, rows, rows), plain_samples())
    events.close()
    found = read_back(tmp_path)
    assert [(e.step, e.value) for e in found.Scalars("loss")][-1] == pytest.approx((5, 0.2))
    assert found.Scalars("steps_per_second")[-1].value == pytest.approx(0.5)
    for kind in ("identity", "text"):
        means = [found.Scalars(f"{kind}/scale_{scale}")[0].value for scale in ("0", "0.7", "1")]
        assert means == pytest.approx([0.2, 0.5, 0.8])
    assert len(found.Tags()["images"]) == 9


@pytest.mark.skipif(not importlib.util.find_spec("tensorboard"), reason="fedshow[tensorboard]")
def test_a_full_disk_ends_the_events_with_one_warning_not_the_run(
    request_in: MakeRequest,
    scripted: Callable[[dict[int, float]], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Events, "step", no_space)
    scripted(dict.fromkeys((3, 6, 9, 12), 0.5))
    assert tune(request_in(tmp_path, tensorboard=tmp_path / "events")).header.metrics["steps"] == 12
    assert caplog.text.count("TensorBoard's events cannot be written") == 1


@pytest.mark.skipif(not importlib.util.find_spec("tensorboard"), reason="fedshow[tensorboard]")
def test_steps_done_again_after_a_kill_are_shown_once(tmp_path: Path) -> None:
    for start, losses in ((0, [9.0, 8.0, 7.0]), (2, [6.0, 5.0])):
        events = Events(tmp_path, start)
        for step, loss in enumerate(losses, start + 1):
            events.step(Progress(step, [loss], seconds=float(step)))
        events.close()
    assert [(e.step, e.value) for e in read_back(tmp_path).Scalars("loss")] == [
        *((1, 9.0), (2, 8.0)),
        *((3, 6.0), (4, 5.0)),
    ]
