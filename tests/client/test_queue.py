"""The queue keeps its promises: one holder a job, leases that end, nothing stuck after a crash."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedshow.errors import InvalidInput, NotFound
from fedshow_client.queue import JobState, NewJob, Queue


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(tmp_path: Path, clock: Clock) -> Iterator[Queue]:
    with Queue(tmp_path / "client.db", clock) as opened:
        yield opened


def new_job(name: str = "potter") -> NewJob:
    return NewJob("home", name, "man", Path("/pictures"), "toyworld")


def test_jobs_are_claimed_once_and_in_order(queue: Queue) -> None:
    first, second = queue.add(new_job("potter")), queue.add(new_job("hermione"))
    claimed = [queue.claim("a", 60), queue.claim("b", 60), queue.claim("c", 60)]
    assert [job and job.id for job in claimed] == [first.id, second.id, None]


def test_a_lease_that_is_not_renewed_runs_out(queue: Queue, clock: Clock) -> None:
    job = queue.add(new_job())
    queue.claim("a", 60)
    clock.now += 61
    taken = queue.claim("b", 60)
    assert taken is not None
    assert taken.id == job.id
    assert not queue.renew(job.id, "a", 60)
    assert not queue.finish(job.id, "a", "0" * 64, 1)
    assert queue.finish(job.id, "b", "0" * 64, 1)


def test_a_renewed_lease_holds(queue: Queue, clock: Clock) -> None:
    job = queue.add(new_job())
    queue.claim("a", 60)
    clock.now += 50
    assert queue.renew(job.id, "a", 60)
    clock.now += 50
    assert queue.claim("b", 60) is None
    assert queue.leased(queue.find("potter"))


def test_a_withdrawn_job_is_taken_from_its_holder(queue: Queue) -> None:
    job = queue.add(new_job())
    queue.claim("a", 60)
    queue.move(job.id, JobState.WITHDRAWN)
    assert not queue.renew(job.id, "a", 60)
    assert not queue.finish(job.id, "a", "0" * 64, 1)
    assert queue.find("potter").state == JobState.WITHDRAWN


def test_failed_tries_wait_longer_and_progress_forgives_them(queue: Queue, clock: Clock) -> None:
    job = queue.add(new_job())
    for tries in (1, 2):
        queue.claim("a", 60)
        assert queue.try_later(job.id, "a", "no memory", blame=True) == tries
        assert queue.claim("a", 60) is None
        clock.now += 300
    queue.claim("a", 60)
    assert queue.try_later(job.id, "a", "no memory", blame=True, progressed=True) == 1


def test_failures_that_are_nobodys_fault_wait_longer_too_but_never_count(
    queue: Queue, clock: Clock
) -> None:
    job = queue.add(new_job())
    pauses = []
    for _ in range(40):
        assert queue.claim("a", 60)
        assert queue.try_later(job.id, "a", "no network", blame=False) == 0
        pauses.append(queue.find("potter").not_before - clock.now)
        clock.now += 300
    assert pauses[:3] == [2, 4, 8]
    assert pauses[-1] == 300
    queue.claim("a", 60)
    assert queue.try_later(job.id, "a", "no memory", blame=True) == 1


def test_a_name_is_taken_until_it_is_given_up(queue: Queue) -> None:
    job = queue.add(new_job())
    with pytest.raises(InvalidInput, match="already queued for home"):
        queue.add(new_job())
    queue.move(job.id, JobState.FAILED, "no memory")
    assert queue.add(new_job()).id != job.id


def test_unknown_names_are_not_found(queue: Queue) -> None:
    with pytest.raises(NotFound, match="'potter'"):
        queue.find("potter")


def test_states_survive_reopening(tmp_path: Path, queue: Queue) -> None:
    queue.add(new_job())
    queue.saw_release("home", "0" * 16, ["potter"])
    with Queue(tmp_path / "client.db") as again:
        assert again.find("potter").state == JobState.QUEUED
        assert again.releases_seen("home")[0].concepts == "potter"


def test_after_a_kill_nothing_is_at_work(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from fedshow_client.queue import *\n"
        "queue = Queue(Path(sys.argv[1]))\n"
        "queue.add(NewJob('home', 'potter', 'man', Path('/pictures'), 'toyworld'))\n"
        "assert queue.claim('victim', 3600)\n"
        "print('claimed', flush=True); time.sleep(600)\n"
    )
    path = tmp_path / "client.db"
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == b"claimed\n"
        os.kill(victim.pid, signal.SIGKILL)
    with Queue(path) as queue:
        assert queue.leased(queue.find("potter"))
        queue.drop_leases()  # what a daemon does when it holds the lock
        assert not queue.leased(queue.find("potter"))
        assert queue.claim("next", 60) is not None
