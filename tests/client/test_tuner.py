"""Tuning as a child process: its result is checked, its failures are told, its death is survived."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import typer.main

from fedshow.cli import build
from fedshow.families import open_base
from fedshow.locks import locked
from fedshow_client.adding import tune_options
from fedshow_client.daemon import tuner as tuner_module
from fedshow_client.daemon.progress import read_progress
from fedshow_client.daemon.tune_child import UNREACHABLE
from fedshow_client.daemon.tuner import Tuner
from fedshow_client.home import Home
from fedshow_client.job_folder import JobFolder
from fedshow_client.queue import JobState, NewJob, Queue
from fedshow_client.settings import load_settings
from tests.client.conftest import wait_for
from tests.conftest import Call
from tests.stage.waiting import in_a_thread

REAL = """
from fedshow_client.daemon.tune_child import main
"""

FULL_CARD = '''
"""Stands in for `fedshow tune` on a card that others have filled."""
from fedshow.errors import Exhausted
from fedshow_client.daemon import tune_child

def tune():
    raise Exhausted("cuda:0, 0.1 GB free")

def main():
    tune_child.build = lambda: tune
    tune_child.main()
'''


@pytest.fixture
def tune(place: Home, queue: Queue, known, stand_in: Path) -> Callable[[], object]:
    """Queues a job and works on it."""
    settings = load_settings(tune_tries=1)
    tuner = Tuner(place, queue, settings, "test")

    def work(stop: Event | None = None, server: str = "home") -> object:
        queue.add(NewJob(server, "potter", "man", Path("/pictures"), "toyworld"))
        return tuner.tune_next({"home": known}, stop or Event())

    return work


@contextmanager
def working(tune: Callable[[Event], object], folder: Path) -> Iterator[int]:
    """Works on a job in a thread, which ends in the block; gives the tuner's process id."""
    pid, told = folder / "pid", folder / "home/jobs/1/progress.jsonl"
    with in_a_thread(tune):
        wait_for(lambda: pid.exists() and pid.read_text() and told.exists())
        yield int(pid.read_text())


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
    assert not list(place.job(job.id).path.rglob("latents*")), "the private pictures in other words"


def test_wrong_input_fails_with_the_tuners_reason(tune, queue, monkeypatch) -> None:
    monkeypatch.setenv("STAND_IN_CODE", "2")
    tune()
    job = queue.find("potter")
    assert (job.state, job.reason) == (JobState.FAILED, "class 'sea monster': two tokens")


def test_repeated_failure_is_final(tune, queue, monkeypatch) -> None:
    monkeypatch.setenv("STAND_IN_CODE", "1")
    tune()
    assert queue.find("potter").state == JobState.FAILED


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGKILL, "by signal 9 (Killed), perhaps because memory ran out"),
        (signal.SIGTERM, "by signal 15 (Terminated)"),
    ],
)
def test_a_killed_tuner_says_what_ended_it(tune, queue, monkeypatch, number, reason) -> None:
    monkeypatch.setenv("STAND_IN_SIGNAL", str(int(number)))
    tune()
    job = queue.find("potter")
    assert (job.state, job.reason) == (JobState.FAILED, f"the tuner was ended {reason}")


def test_a_base_that_cannot_be_fetched_is_waited_for(tune, queue, monkeypatch) -> None:
    monkeypatch.setenv("STAND_IN_CODE", str(UNREACHABLE))
    tune()
    job = queue.find("potter")
    assert job.state == JobState.QUEUED
    assert job.reason == "class 'sea monster': two tokens"
    assert job.not_before > job.created


def test_a_card_that_others_have_filled_fails_none_of_the_jobs(
    tune, queue, place, known, tmp_path
) -> None:
    (tmp_path / "stand_in.py").write_text(FULL_CARD)
    tune()
    queue.add(NewJob("home", "ron", "man", Path("/pictures"), "toyworld"))
    assert Tuner(place, queue, load_settings(), "test").tune_next({"home": known}, Event())
    for job in queue.jobs():
        assert (job.state, job.reason) == (JobState.QUEUED, "cuda:0, 0.1 GB free"), job.name
        assert job.tries < 0, "nobody is blamed"


@pytest.mark.parametrize(
    ("device", "base", "says"),
    [
        ("cuda", "toyworld", "device 'cuda': torch finds no CUDA card here"),
        ("cpu", "/not-mounted/base", "base '/not-mounted/base': use"),
        ("cpu", "toyworld", "/not-mounted/pictures: not a folder of images"),
    ],
)
def test_what_is_not_here_for_a_moment_is_waited_for(
    queue, place, known, stand_in, tmp_path, monkeypatch, device, base, says
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "stand_in.py").write_text(REAL)
    theirs = known.base.model_copy(update={"sha256": open_base("toyworld").card.sha256})
    joined = known.model_copy(update={"base": theirs})
    queue.add(NewJob("home", "potter", "man", Path("/not-mounted/pictures"), base))
    settings = load_settings(tune_tries=1, device=device)
    assert Tuner(place, queue, settings, "test").tune_next({"home": joined}, Event())
    job = queue.find("potter")
    assert job.state == JobState.QUEUED, job.reason
    assert job.reason.startswith(says)
    assert job.tries < 0, "the job is not blamed"


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
    with in_a_thread(tune):
        wait_for((tmp_path / "pid").exists)
        queue.move(queue.find("potter").id, JobState.WITHDRAWN)
    assert queue.find("potter").state == JobState.WITHDRAWN


def test_withdrawing_deletes_what_tuning_left_and_no_images(
    tune, call, queue, place, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("STAND_IN_SECONDS", "600")
    with working(tune, tmp_path):
        job = queue.find("potter")
        assert place.job(job.id).progress.exists()
        assert call("client", "withdraw", "potter")[0] == 0
    assert queue.get(job.id).state == JobState.WITHDRAWN
    assert not place.job(job.id).path.exists()


def test_a_concept_withdrawn_while_it_is_checked_is_not_offered(
    tune, queue, place, monkeypatch
) -> None:
    read = tuner_module.read_concept

    def withdraw_and_read(*arguments: object) -> object:
        queue.move(queue.find("potter").id, JobState.WITHDRAWN)
        return read(*arguments)

    monkeypatch.setattr(tuner_module, "read_concept", withdraw_and_read)
    tune()
    job = queue.find("potter")
    assert job.state == JobState.WITHDRAWN
    assert list(place.outbox("home").iterdir()) == []
    assert not place.job(job.id).path.exists()


def test_a_paused_job_is_put_back_and_goes_on_when_resumed(
    tune, queue, place, known, stand_in, monkeypatch, tmp_path, call
) -> None:
    monkeypatch.setenv("STAND_IN_SECONDS", "600")
    with working(tune, tmp_path) as child:
        assert call("client", "pause", "potter")[:2] == (0, "paused potter\n")
    assert not is_alive(child)
    job = queue.find("potter")
    assert (job.state, job.tries, queue.leased(job)) == (JobState.QUEUED, 0, False)
    monkeypatch.setenv("STAND_IN_SECONDS", "0")
    tuner = Tuner(place, queue, load_settings(), "test")
    assert tuner.tune_next({"home": known}, Event()) is None
    assert call("client", "resume", "potter")[:2] == (0, "resumed potter\n")
    assert tuner.tune_next({"home": known}, Event())
    assert queue.find("potter").state == JobState.TUNED


def test_pausing_the_queue_ends_the_tuner(tune, queue, monkeypatch, tmp_path, call) -> None:
    monkeypatch.setenv("STAND_IN_SECONDS", "600")
    with working(tune, tmp_path):
        assert call("client", "pause")[:2] == (0, "paused the queue\n")
    assert not queue.leased(queue.find("potter"))


def test_a_tuner_that_is_not_gone_yet_is_waited_for(
    tune, queue, place, known, monkeypatch, tmp_path
) -> None:
    started: list[object] = []
    monkeypatch.setattr(tuner_module, "Child", lambda *_, **__: started.append(1))
    folder = place.job(1)
    folder.path.mkdir(parents=True)
    with folder.lock.open("a") as file:
        assert locked(file)
        with in_a_thread(tune) as stop:
            wait_for(lambda: [job for job in queue.jobs() if queue.leased(job)])
            stop.set()
    assert started == []
    assert not queue.leased(queue.find("potter"))


def test_options_reach_the_program_as_it_takes_them(queue, known, tmp_path) -> None:
    options = tune_options(["batch=2", "ema=0.9"], steps=9, seed=7, rank=None, flip=False)
    job = queue.add(NewJob("home", "potter", "man", tmp_path, "toyworld", options=options))
    arguments = tuner_module._arguments(job, known, JobFolder(tmp_path), "cpu")
    tune_command: Any = typer.main.get_command(build()).commands["tune"]
    found = tune_command.make_context("tune", arguments[1:]).params
    assert found["images"] == str(tmp_path)
    assert (found["steps"], found["seed"], found["rank"], found["flip"]) == (9, 7, None, False)
    assert list(found["changes"]) == ["batch=2", "ema=0.9"]
    assert found["base_sha256"] == known.base.sha256


def test_a_stopped_daemon_leaves_the_job_for_the_next(tune, queue, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("STAND_IN_SECONDS", "600")
    with in_a_thread(tune) as stop:
        wait_for((tmp_path / "pid").exists)
        stop.set()
    job = queue.find("potter")
    assert (job.state, job.tries, queue.leased(job)) == (JobState.QUEUED, 0, False)


def is_stopped(pid: int) -> bool:
    """Whether all threads of a process are."""
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in threads)


def status(call: Call) -> Any:
    """Daemon, state, step and steps of the only concept, as programs are told."""
    found = json.loads(call("client", "status", "--json")[1])
    (concept,) = found["concepts"]
    return found["daemon"], concept["state"], concept["step"], concept["steps"]


def test_a_killed_daemon_takes_its_tuner_along(
    queue, known, stand_in, monkeypatch, tmp_path, place, call
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
        wait_for(lambda: read_progress(place.job(1).progress).step)
        assert status(call) == (daemon.pid, "tuning", 3, 9)
        os.kill(child, signal.SIGSTOP)  # as one that is slow to end
        wait_for(lambda: is_stopped(child))
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.wait()
        assert status(call) == (None, "queued", 3, 9)
        assert queue.leased(queue.find("potter"))  # which only a living daemon makes "tuning"
        with place.job(1).lock.open("a") as file:
            assert not locked(file), "the next daemon's tuner would start beside it"
        os.kill(child, signal.SIGCONT)
    wait_for(lambda: not is_alive(child))
    with place.job(1).lock.open("a") as file:
        wait_for(lambda: locked(file))
    assert place.daemon_pid() is None
    with Queue(place.database) as after:
        after.drop_leases()
        assert after.claim("next", 60) is not None
