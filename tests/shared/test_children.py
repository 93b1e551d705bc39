"""Children of ours: what they find around them, and that they do not outlive their parent."""

import os
import signal
import subprocess
import sys

import pytest

from fedshow.children import environment

SLEEPER = "import time; from fedshow.children import end_with_parent; end_with_parent(0, 0.1);"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"


def test_nothing_phones_home_and_programs_are_found(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/somewhere")
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")
    found = environment({"FLWR_HOME": "here"})
    assert (found["FLWR_TELEMETRY_ENABLED"], found["FLWR_DISABLE_UPDATE_CHECK"]) == ("0", "1")
    assert found["PATH"] == f"{os.path.dirname(sys.executable)}{os.pathsep}/somewhere"
    assert "localhost" in found["NO_PROXY"]
    assert found["FLWR_HOME"] == "here"


@pytest.mark.parametrize(("script", "code"), [("", -signal.SIGTERM), (DEAF, 1)])
def test_a_child_ends_with_its_parent_s_pipe(script: str, code: int) -> None:
    command = [sys.executable, "-c", f"{script}{SLEEPER} print('up', flush=True); time.sleep(60)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin
        assert child.stdout
        assert child.stdout.readline() == b"up\n"
        assert child.poll() is None
        child.stdin.close()
        assert child.wait(30) == code
