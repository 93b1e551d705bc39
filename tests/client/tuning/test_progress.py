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
        report(Progress(step=3, losses=[0.5]), 20)
    assert "3/20" in screen.getvalue()
    assert "0.500" in screen.getvalue()


def test_progress_file_has_one_line_per_ten_steps_and_the_last(tmp_path: Path) -> None:
    file = tmp_path / "progress"
    with _reporter(file) as report:
        for step in range(1, 26):
            report(Progress(step=step, losses=[1 / step], seconds=step), 25)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 25]
    assert lines[-1] == {"step": 25, "steps": 25, "loss": 0.04, "seconds": 25}
