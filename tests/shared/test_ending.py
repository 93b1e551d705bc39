"""How the program ends: one line of error with what to type next, exit codes, Ctrl-C, closed pipes."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fedshow.ending import exit_code_of, sentence
from fedshow.errors import Unreachable
from tests.conftest import Call
from tests.stage.processes import hear_interrupts

PROGRAM = [sys.executable, "-m", "fedshow.cli"]
OUR_END = "import sys; from fedshow.ending import exit_code_of\n"


def ends(script: str, **options: object) -> subprocess.Popen[bytes]:
    """A process whose program is `run` of the script."""
    code = f"{OUR_END}{script}\nsys.exit(exit_code_of(run))"
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": hear_interrupts}
    return subprocess.Popen([sys.executable, "-c", code], **{**given, **options})  # type: ignore[call-overload,no-any-return]


def test_ctrl_c_ends_with_130_and_without_a_word() -> None:
    process = ends("import time\ndef run():\n print('on', flush=True)\n time.sleep(60)")
    assert process.stdout is not None
    assert process.stdout.readline() == b"on\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"")


def test_ctrl_c_inside_a_command_ends_so_too(home: Path) -> None:
    """Here click is asked first: a command that waits for a server which never answers."""
    script = (
        "from fedshow.commands import releases\nfrom fedshow.cli import build\nimport time\n"
        "from fedshow.transfer import servers\n"
        "def wait(*_):\n print('on', flush=True)\n time.sleep(60)\n"
        "servers.find_server = wait\nsys.argv = ['fedshow', 'releases', 'art']\n"
        "run = lambda: build()()"
    )
    process = ends(script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"on\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err.strip()) == (130, b"", b"")


@pytest.mark.parametrize("lines", [3, 100_000])
def test_a_reader_that_leaves_ends_it_quietly(lines: int) -> None:
    """Before the output is flushed at the end, or in the midst of it."""
    reader, writer = os.pipe()
    os.close(reader)
    process = ends(f"def run():\n for n in range({lines}): print('line', n)", stdout=writer)
    os.close(writer)
    _, err = process.communicate()
    assert (process.returncode, err) == (141, b"")


def test_a_real_command_into_a_closed_pipe_is_quiet(home: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [*PROGRAM, "client", "status", "--schema"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_head_gets_its_lines(home: Path) -> None:
    line = f"{sys.executable} -m fedshow.cli client status --schema | head -n 1"
    done = subprocess.run(line, shell=True, capture_output=True, check=True)  # noqa: S602
    assert (done.stdout, done.stderr) == (b"{\n", b"")


@pytest.mark.parametrize(
    ("error", "says", "then"),
    [
        (ModuleNotFoundError("No module named 's3fs'", name="s3fs"), "s3fs", "'fedshow[s3]'"),
        (ModuleNotFoundError("x", name="pillow_heif.x"), "pillow_heif", "'fedshow[heic]'"),
        (ModuleNotFoundError("x", name="nowhere"), "nowhere", "pip install nowhere"),
        (OSError(errno.ENOSPC, "full", "/a/b"), "no room is left on the disk for /a/b", "doctor"),
        (PermissionError(errno.EACCES, "no", "/a/b"), "/a/b is not yours", "ls -ld /a/b"),
        (MemoryError(), "out of memory", "--device cpu"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA\nmore"), "memory: CUDA", "doctor"),
        (Unreachable("art is away").then("fedshow doctor"), "art is away", "fedshow doctor"),
    ],
)
def test_errors_that_users_meet_say_what_to_type(error, says: str, then: str) -> None:
    found, next_step = sentence(error)
    assert says in found
    assert then in next_step
    assert "\n" not in found + next_step


def test_an_error_is_one_line_with_its_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        raise Unreachable("art is away").then("fedshow doctor --server art")

    assert exit_code_of(run) == 1
    told = capsys.readouterr()
    assert told.err == "fedshow: art is away; next: fedshow doctor --server art\n"
    assert told.out == ""


def test_what_nobody_foresaw_says_how_to_see_more(capsys, monkeypatch) -> None:
    def run() -> None:
        raise ZeroDivisionError("by nought")

    assert exit_code_of(run) == 1
    assert capsys.readouterr().err == (
        "fedshow: ZeroDivisionError: by nought (--debug shows more)\n"
    )
    monkeypatch.setenv("FEDSHOW_DEBUG", "1")
    assert exit_code_of(run) == 1
    assert "Traceback" in capsys.readouterr().err


def test_the_help_tells_the_exit_codes(call: Call) -> None:
    from fedshow import ending

    shown = " ".join(call("--help")[1].split())
    for code, what in ((1, "it failed"), (ending.INTERRUPTED, "Ctrl-C"), (ending.NO_READER, "")):
        assert f"{code} " in shown.split("Exit codes: ")[1]
        assert what in shown


@pytest.mark.parametrize("words", ["--debug releases nobody", "releases nobody --debug"])
def test_debug_may_stand_anywhere(call: Call, monkeypatch, words: str) -> None:
    monkeypatch.setenv("FEDSHOW_DEBUG", "")  # taken back afterwards
    code, _, err = call(*words.split())
    assert code == 2
    assert "Traceback" in err


def test_behind_two_dashes_debug_is_a_word(call: Call, monkeypatch) -> None:
    monkeypatch.setenv("FEDSHOW_DEBUG", "")
    code, _, err = call("releases", "--", "--debug")
    assert code == 2
    assert err.startswith("fedshow: no joined server '--debug'; joined: none yet; next: ask")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("tnue", "'tune'"),
        ("client stats", "'status'"),
        ("server revok", "'revoke'"),
        ("server audit verfy", "'verify'"),
        ("sample --stepz", "--steps"),
        ("tune --setps", "--steps"),
    ],
)
def test_near_commands_and_options_are_suggested_once(call: Call, words: str, meant: str) -> None:
    code, _, err = call(*words.split())
    assert code == 2
    assert meant in err
    assert err.lower().count("did you mean") == 1
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("releases", "Missing argument 'SERVER'; next: fedshow releases --help"),
        (
            "server audit --last 0",
            "Invalid value for '--last': 0 is not in the range 1<=x<=1000000; "
            "next: fedshow server audit --help",
        ),
        (
            "pull home -o model --format zip",
            "Invalid value for '--format': 'zip' is not one of 'diffusers', 'lora', 'single-file'; "
            "next: fedshow pull --help",
        ),
        ("--colour", "No such option '--colour'; next: fedshow --help"),
    ],
)
def test_wrong_options_are_told_in_one_line(call: Call, words: str, said: str) -> None:
    assert call(*words.split()) == (2, "", f"fedshow: {said}\n")


def test_groups_without_a_command_show_their_help(call: Call) -> None:
    code, _, err = call("server")
    assert code == 2
    assert "invite" in err
