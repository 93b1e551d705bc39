"""The queue keeps its promises: one holder a job, leases that end, nothing stuck after a crash."""

import os
import signal
import sqlite3
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


def new_job(name: str = "potter", priority: int = 0) -> NewJob:
    return NewJob("home", name, "man", Path("/pictures"), "toyworld", priority)


def test_jobs_are_claimed_once_and_in_order(queue: Queue) -> None:
    first, second = queue.add(new_job("potter")), queue.add(new_job("hermione"))
    claimed = [queue.claim("a", 60), queue.claim("b", 60), queue.claim("c", 60)]
    assert [job and job.id for job in claimed] == [first.id, second.id, None]


def names_in_order(queue: Queue) -> list[str]:
    """What is claimed, one after the other."""
    return [job.name for job in iter(lambda: queue.claim("a", 60), None)]


def test_the_higher_priority_is_first_and_the_older_among_equals(queue: Queue) -> None:
    for name, priority in (("a", 0), ("b", 5), ("c", -1), ("d", 5), ("e", 0)):
        queue.add(new_job(name, priority))
    queue.prioritise(queue.find("e"), 9)
    assert names_in_order(queue) == ["e", "b", "d", "a", "c"]


def test_a_higher_priority_takes_nothing_from_its_holder(queue: Queue) -> None:
    job = queue.add(new_job("potter"))
    queue.claim("a", 60)
    queue.add(new_job("hermione", 9))
    assert queue.renew(job.id, "a", 60)


def test_a_paused_job_is_passed_over_and_taken_from_its_holder(queue: Queue) -> None:
    job, other = queue.add(new_job("potter", 1)), queue.add(new_job("ron"))
    queue.claim("a", 60)
    queue.pause(job)
    assert not queue.renew(job.id, "a", 60)
    queue.put_back(job.id, "a")
    assert names_in_order(queue) == ["ron"]
    assert queue.renew(other.id, "a", 60)
    queue.pause(job, paused=False)
    assert names_in_order(queue) == ["potter"]


def test_a_paused_queue_gives_nothing_out_and_keeps_single_pauses(queue: Queue) -> None:
    jobs = [queue.add(new_job(name)) for name in ("a", "b", "c")]
    queue.claim("a", 60)
    queue.pause(jobs[1])
    queue.pause_all()
    assert queue.paused()
    assert not queue.renew(jobs[0].id, "a", 60)
    queue.put_back(jobs[0].id, "a")
    assert names_in_order(queue) == []
    queue.pause_all(paused=False)
    assert names_in_order(queue) == ["a", "c"]


def test_only_what_waits_for_tuning_can_be_paused_or_prioritised(queue: Queue) -> None:
    job = queue.add(new_job())
    queue.move(job.id, JobState.ADMITTED)
    with pytest.raises(InvalidInput, match="'potter' is admitted"):
        queue.pause(job)
    with pytest.raises(InvalidInput, match="'potter' is admitted"):
        queue.prioritise(job, 1)


def test_a_failed_job_can_be_tried_again_at_once(queue: Queue) -> None:
    job = queue.add(new_job())
    queue.claim("a", 60)
    queue.try_later(job.id, "a", "no memory", blame=True)
    assert queue.claim("a", 60) is None
    queue.retry(job)
    assert queue.claim("a", 60) is not None
    queue.move(job.id, JobState.FAILED, "no memory")
    queue.retry(job)
    again = queue.find("potter")
    assert (again.state, again.reason, again.tries) == (JobState.QUEUED, "", 0)
    assert queue.claim("a", 60) is not None


def test_what_did_not_fail_is_not_tried_again(queue: Queue) -> None:
    job = queue.add(new_job())
    with pytest.raises(InvalidInput, match="'potter' is queued"):
        queue.retry(job)
    queue.move(job.id, JobState.FAILED)
    queue.add(new_job())
    with pytest.raises(InvalidInput, match="already queued"):
        queue.retry(job)


FIRST_VERSION = """
CREATE TABLE jobs (
    id INTEGER NOT NULL PRIMARY KEY, server VARCHAR NOT NULL, name VARCHAR NOT NULL,
    class_word VARCHAR NOT NULL, images VARCHAR NOT NULL, base VARCHAR NOT NULL, steps INTEGER,
    seed INTEGER, state VARCHAR(16) NOT NULL, reason VARCHAR NOT NULL, sha256 VARCHAR NOT NULL,
    size_bytes INTEGER NOT NULL, tries INTEGER NOT NULL, not_before FLOAT NOT NULL,
    holder VARCHAR NOT NULL, lease_until FLOAT NOT NULL, created FLOAT NOT NULL
);
CREATE INDEX jobs_by_state ON jobs (state, id);
INSERT INTO jobs VALUES
    (1, 'home', 'potter', 'man', '/p', 'toyworld', 9, NULL, 'queued', '', '', 0, 0, 0, '', 0, 1),
    (2, 'home', 'ron', 'man', '/r', 'toyworld', 8, 7, 'admitted', '', 'aa', 3, 0, 0, '', 0, 2);
"""


def columns(path: Path) -> dict[str, set[str]]:
    with sqlite3.connect(path) as opened:
        tables = [name for (name,) in opened.execute("SELECT name FROM sqlite_master")]
        found = {t: {row[1] for row in opened.execute(f"PRAGMA table_info({t})")} for t in tables}
    opened.close()
    return found


def test_a_database_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    old, fresh = tmp_path / "old.db", tmp_path / "fresh.db"
    with sqlite3.connect(old) as opened:
        opened.executescript(FIRST_VERSION)
    opened.close()
    with Queue(old) as queue, Queue(fresh):
        potter, ron = queue.jobs()
        assert (potter.options, ron.options) == ({"steps": 9}, {"steps": 8, "seed": 7})
        assert (potter.priority, potter.paused, ron.state) == (0, False, JobState.ADMITTED)
        queue.add(new_job("hermione", 3))
        assert names_in_order(queue) == ["hermione", "potter"]
    assert columns(old) == columns(fresh)


def test_a_database_of_a_newer_fedshow_is_refused(tmp_path: Path) -> None:
    Queue(tmp_path / "client.db").close()
    with sqlite3.connect(tmp_path / "client.db") as opened:
        opened.execute("PRAGMA user_version = 99")
    opened.close()
    with pytest.raises(InvalidInput, match=r"client\.db is of version 99.* update fedshow"):
        Queue(tmp_path / "client.db")


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
