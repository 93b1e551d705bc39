"""The doctor as a command: what it prints, how it ends, and that no check can take it down."""

import json
import signal
import subprocess
import sys

import pytest

from fedshow.doctor import examining
from fedshow.doctor.finding import Question, fine, problem, warning
from fedshow.errors import InvalidInput
from tests.stage.processes import hear_interrupts


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch):
    """Replaces all checks."""

    def put(**given):
        monkeypatch.setattr(examining, "all_checks", lambda: given)

    return put


def broken(question: Question):
    yield fine("first", "is well")
    raise RuntimeError("of all things\nand more")


def refused(question: Question):
    raise InvalidInput("--server 'x': no").then("write HOST:PORT")


def test_a_check_that_fails_is_a_finding_and_keeps_what_came_before(call, checks) -> None:
    checks(bad=broken, good=lambda _: [fine("last", "is well")])
    code, out, err = call("doctor")
    assert code == 0
    assert out.splitlines() == [
        "ok       first: is well",
        "warning  bad: this check failed: RuntimeError: of all things",
        "         -> please report it: that is a mistake of fedshow's",
        "ok       last: is well",
    ]
    assert err == "0 problems, 1 warnings\n"


def test_a_problem_ends_with_one_and_says_what_to_type(call, checks) -> None:
    checks(port=lambda _: [problem("port 1", "is taken", "choose another")])
    code, out, _ = call("doctor")
    assert code == 1
    assert "problem  port 1: is taken\n         -> choose another\n" in out


def test_typed_errors_are_problems_with_their_next_step(call, checks) -> None:
    checks(servers=refused)
    code, out, _ = call("doctor", "--json")
    told = json.loads(out)
    assert (code, told["problems"], told["warnings"]) == (1, 1, 0)
    (finding,) = told["findings"]
    assert finding == {
        "check": "servers",
        "about": "servers",
        "state": "problem",
        "says": "--server 'x': no",
        "advice": "write HOST:PORT",
        "facts": {},
    }


def test_warnings_alone_end_with_zero(call, checks) -> None:
    checks(disk=lambda _: [warning("disk", "is small", "buy one", free_bytes=1)])
    code, out, _ = call("doctor", "--json")
    told = json.loads(out)
    assert (code, told["warnings"]) == (0, 1)
    assert told["findings"][0]["facts"] == {"free_bytes": 1}


def test_the_question_is_what_was_asked(call, checks, home, tmp_path) -> None:
    asked: list[Question] = []
    checks(all=lambda question: asked.append(question) or [])
    call("doctor", "--server", "art:1", "--base", "toyworld", "--data", tmp_path)
    assert asked == [Question(home, tmp_path, "art:1", "toyworld")]


def test_every_part_brings_its_checks() -> None:
    assert list(examining.all_checks()) == [
        *("client", "server"),
        *("installed", "room", "servers", "base", "device"),
    ]


def test_a_part_that_cannot_be_loaded_says_what_to_install(monkeypatch, call) -> None:
    class Point:
        name = "server"

        def load(self):
            raise ModuleNotFoundError("No module named 'sqlalchemy'")

    monkeypatch.setattr(examining, "entry_points", lambda **_: [Point()])
    code, out, _ = call("doctor")
    assert code == 1
    assert "part server: is here, but cannot be used: No module named 'sqlalchemy'" in out
    assert "pip install 'fedshow[server]'" in out


def test_ctrl_c_waits_for_no_check(home) -> None:
    script = (
        "import sys, time; from fedshow.cli import main; from fedshow.doctor import examining\n"
        "from fedshow.doctor.finding import fine\n"
        "slow = lambda _: time.sleep(600) or []\n"
        "checks = {'first': lambda _: [fine('first', 'is well')], 'slow': slow}\n"
        "examining.all_checks = lambda: checks\n"
        "sys.argv = ['fedshow', 'doctor']\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=hear_interrupts) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ok       first: is well\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def test_without_any_checks_nothing_is_well(monkeypatch, call) -> None:
    monkeypatch.setattr(examining, "entry_points", lambda **_: [])
    code, out, _ = call("doctor")
    assert code == 1
    assert "not well installed" in out


def test_torch_is_asked_in_a_process_of_its_own(home) -> None:
    script = (
        "import sys; from fedshow.cli import main\n"
        "sys.argv = ['fedshow', 'doctor']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'flwr'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert b"packages: torch 2" in told.stdout
