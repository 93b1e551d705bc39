"""What people and the daemon see while a concept is tuned."""

import io
import json
from pathlib import Path

import pytest

from fedshow_client.commands.tune import _reporter
from fedshow_client.tuning.checkpoint import Progress


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_bar_on_a_terminal_shows_steps_and_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with _reporter(None) as report:
        report(Progress(step=3, losses=[0.5], seconds=7), 20)
        report(Progress(step=5, losses=[0.25], seconds=8), 20)
    assert "5/20" in screen.getvalue()
    assert "0.250" in screen.getvalue()
    assert "2.00 steps/s" in screen.getvalue()
    assert "0:00:08 left" in screen.getvalue()


def test_progress_file_has_one_line_per_ten_steps_and_the_last(tmp_path: Path) -> None:
    file = tmp_path / "progress"
    with _reporter(file) as report:
        for step in range(1, 26):
            report(Progress(step=step, losses=[1 / step], seconds=step), 25)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 25]
    known = {"step": 25, "steps": 25, "loss": 0.04, "seconds": 25}
    assert lines[-1] == known | {"steps_per_second": 1.0, "seconds_left": 0.0}
    assert lines[0]["seconds_left"] == 15


def test_the_rate_is_that_of_this_process_not_of_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "progress"
    with _reporter(file) as report:
        report(Progress(step=1, losses=[1.0], seconds=1000), 1)
        report(Progress(step=20, losses=[1.0], seconds=1009.5), 40)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["steps_per_second"] for line in lines] == [None, 2.0]
    assert [line["seconds_left"] for line in lines] == [None, 10.0]
