"""Tuning as a child process: its result is checked, its failures are told, its death is survived."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from fedshow_client.daemon import tuner as tuner_module
from fedshow_client.daemon.tune_child import UNREACHABLE
from fedshow_client.daemon.tuner import Tuner
from fedshow_client.home import Home
from fedshow_client.queue import JobState, NewJob, Queue
from fedshow_client.settings import load_settings
from tests.client.conftest import wait_for

STAND_IN = '''
"""Stands in for `fedshow tune`: does what the environment says."""
import json, os, shutil, sys, time
from pathlib import Path

def main():
    options = dict(zip(sys.argv[3::2], sys.argv[4::2]))
    Path(os.environ["STAND_IN_PID"]).write_text(str(os.getpid()))
    Path(options["--progress"]).write_text(json.dumps({"step": 3, "steps": 9, "seconds": 1}) + "\\n")
    time.sleep(float(os.environ.get("STAND_IN_SECONDS", 0)))
    if code := int(os.environ.get("STAND_IN_CODE", 0)):
        print("fedshow: class 'sea monster': two tokens", file=sys.stderr)
        sys.exit(code)
    shutil.copy(os.environ["STAND_IN_RESULT"], options["-o"])
'''


@pytest.fixture
def stand_in(tmp_path, monkeypatch, concept_blob: Callable[..., bytes]) -> Path:
    """The child that tunes, and the file that it will make."""
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    result = tmp_path / "result.safetensors"
    result.write_bytes(concept_blob())
    monkeypatch.setattr(tuner_module, "ENTRY", "stand_in:main")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("STAND_IN_RESULT", str(result))
    monkeypatch.setenv("STAND_IN_PID", str(tmp_path / "pid"))
    return result


@pytest.fixture
def tune(place: Home, queue: Queue, known, stand_in: Path) -> Callable[[], object]:
    """Queues a job and works on it."""
    settings = load_settings(tune_tries=1)
    tuner = Tuner(place, queue, settings, "test")

    def work(stop: Event | None = None, server: str = "home") -> object:
        queue.add(NewJob(server, "potter", "man", Path("/pictures"), "toyworld"))
        return tuner.tune_next({"home": known}, stop or Event())

    return work


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_tuned_concept_lies_in_the_outbox(tune, queue, place, stand_in) -> None:
    tune()
    job = queue.find("potter")
    assert job.state == JobState.TUNED
    assert place.concept_file("home", job.sha256).read_bytes() == stand_in.read_bytes()
    assert [file.name for file in place.outbox("home").iterdir()] == [f"{job.sha256}.safetensors"]


def test_wrong_input_fails_with_the_tuners_reason(tune, queue, monkeypatch) -> None:
    monkeypatch.setenv("STAND_IN_CODE", "2")
    tune()
    job = queue.find("potter")
    assert (job.state, job.reason) == (JobState.FAILED, "class 'sea monster': two tokens")


def test_repeated_failure_is_final(tune, queue, monkeypatch) -> None:
    monkeypatch.setenv("STAND_IN_CODE", "1")
    tune()
    assert queue.find("potter").state == JobState.FAILED


def test_a_base_that_cannot_be_fetched_is_waited_for(tune, queue, monkeypatch) -> None:
    monkeypatch.setenv("STAND_IN_CODE", str(UNREACHABLE))
    tune()
    job = queue.find("potter")
    assert job.state == JobState.QUEUED
    assert job.reason == "class 'sea monster': two tokens"
    assert job.not_before > job.created


def test_a_job_for_a_server_that_left_waits_for_it(tune, queue, place, known, stand_in) -> None:
    assert tune(server="away") is None
    assert queue.find("potter").state == JobState.QUEUED
    again = Tuner(place, queue, load_settings(), "test")
    assert again.tune_next({"away": known}, Event())
    assert queue.find("potter").state == JobState.TUNED


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"base_sha256": "c" * 64}, "made for base"), ({"name": "ron"}, "'ron', not 'potter'")],
)
def test_a_file_that_does_not_fit_is_not_offered(
    tune, queue, place, stand_in, concept_blob, changes, words
) -> None:
    stand_in.write_bytes(concept_blob(**changes))
    tune()
    job = queue.find("potter")
    assert job.state == JobState.FAILED
    assert words in job.reason
    assert not place.outbox("home").exists()


def test_withdrawing_ends_the_tuner(tune, queue, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("STAND_IN_SECONDS", "600")
    thread = Thread(target=tune)
    thread.start()
    wait_for((tmp_path / "pid").exists)
    queue.move(queue.find("potter").id, JobState.WITHDRAWN)
    thread.join(20)
    assert not thread.is_alive()
    assert queue.find("potter").state == JobState.WITHDRAWN


def test_a_stopped_daemon_leaves_the_job_for_the_next(tune, queue, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("STAND_IN_SECONDS", "600")
    stop = Event()
    thread = Thread(target=tune, args=(stop,))
    thread.start()
    wait_for((tmp_path / "pid").exists)
    stop.set()
    thread.join(20)
    job = queue.find("potter")
    assert (job.state, job.tries, queue.leased(job)) == (JobState.QUEUED, 0, False)


def test_a_killed_daemon_takes_its_tuner_along(
    queue, known, stand_in, monkeypatch, tmp_path, place
) -> None:
    monkeypatch.setenv("STAND_IN_SECONDS", "600")
    queue.add(NewJob("home", "potter", "man", Path("/pictures"), "toyworld"))
    script = (
        "from fedshow_client.daemon import tuner, service\n"
        "from fedshow_client.settings import load_settings\n"
        "tuner.ENTRY = 'stand_in:main'\n"
        "service.Daemon(load_settings()).run()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as daemon:
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        child = int((tmp_path / "pid").read_text())
        assert place.daemon_pid() == daemon.pid
        os.kill(daemon.pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(child))
    assert place.daemon_pid() is None
    with Queue(place.database) as after:
        after.drop_leases()
        assert after.claim("next", 60) is not None
