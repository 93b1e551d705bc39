"""Colours and bars are for terminals, and for those who want them: tried on real ones."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from fedshow.colour import Colour, coloured

ESCAPE = b"\033["
DOCTOR = (
    "import sys; from fedshow.doctor import examining; from fedshow.doctor.finding import fine\n"
    "from fedshow.cli import main\n"
    "examining.all_checks = lambda: {'one': lambda _: [fine('one', 'is well')]}\n"
    "sys.argv = ['fedshow', 'doctor']\nmain()"
)
ERROR = (
    "import sys; from fedshow.cli import main\nsys.argv = ['fedshow', 'releases', 'nobody']\nmain()"
)
BAR = (
    "from fedshow.commands.output import step_progress, show_table\n"
    "with step_progress('drawing') as step:\n step(1, 2)\n step(2, 2)\n"
    "show_table(('a', 'b'), [(1, 2)])"
)


def run(script: str, terminal: str, **environment: str) -> tuple[bytes, bytes]:
    """Standard output and error of a script, with a terminal as one of the two."""
    own, its = pty.openpty()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {terminal: its}
    if not terminal:
        pipes.pop("")
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**clean, "TERM": "xterm-256color", **environment},
        **pipes,  # type: ignore[call-overload]
    )
    os.close(its)
    shown = b""
    while True:
        try:
            read = os.read(own, 4096)
        except OSError:  # the other end is closed
            break
        if not read:
            break
        shown += read
    os.close(own)
    out, err = process.communicate()
    seen = {"stdout": out or b"", "stderr": err or b""} | ({terminal: shown} if terminal else {})
    return seen["stdout"], seen["stderr"]


@pytest.fixture(autouse=True)
def quiet_home(home: Path) -> None:
    """Of nobody."""


def test_on_a_terminal_there_are_colours_and_in_a_pipe_none() -> None:
    assert b"\033[32mok" in run(DOCTOR, "stdout")[0]
    assert ESCAPE not in run(DOCTOR, "")[0]


@pytest.mark.parametrize(
    ("environment", "there"),
    [
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
    ],
)
def test_on_a_terminal_no_color_takes_them_away(environment, there: bool) -> None:
    assert (ESCAPE in run(DOCTOR, "stdout", **environment)[0]) is there


def test_force_color_brings_them_into_a_pipe() -> None:
    out, _ = run(DOCTOR, "", FORCE_COLOR="1")
    assert out == b"\033[32mok       \033[0mone: is well\n"


def test_errors_are_coloured_by_where_they_go_not_by_where_results_go() -> None:
    assert b"\033[31mfedshow:" in run(ERROR, "stderr")[1]
    assert run(ERROR, "stdout")[1].startswith(b"fedshow: no joined server")
    assert ESCAPE not in run(ERROR, "stderr", NO_COLOR="1")[1]


def test_bars_are_on_stderr_and_on_terminals_only() -> None:
    out, err = run(BAR, "stderr")
    assert b"drawing" in err
    assert out == b"a  b\n1  2\n"
    out, err = run(BAR, "stderr", NO_COLOR="1")
    assert b"drawing" in err
    assert b"\033[3" not in err  # it moves, but has no colour
    assert run(BAR, "") == (b"a  b\n1  2\n", b"")
    assert run(BAR, "", FORCE_COLOR="1") == (b"a  b\n1  2\n", b"")


def test_help_has_no_colours() -> None:
    script = ERROR.replace("'releases', 'nobody'", "'tune', '--help'")
    assert ESCAPE not in run(script, "stdout")[0]


def test_a_colour_is_put_around_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert coloured("x", Colour.RED) == "\033[31mx\033[0m"
