"""Commands run in this process, as people meet them."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fedshow.cli import main

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Runs `fedshow` with a home of its own; gives exit code, standard output and standard error."""
    monkeypatch.setenv("FEDSHOW_HOME", str(tmp_path / "home"))

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fedshow", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run
