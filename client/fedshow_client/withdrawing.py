"""Taking a concept back, whatever has become of it so far, with what was tried under its name before."""

from pathlib import Path

from fedshow.transfer.backoff import OnWait, Patience, patiently
from fedshow.transfer.connection import Connection
from fedshow.transfer.servers import find_server
from fedshow_client.daemon.courier import withdraw as withdraw_there
from fedshow_client.home import Home
from fedshow_client.queue import Job, JobState, Queue
from fedshow_client.queue.rows import ACTIVE

SETTLED = [state for state in JobState if state not in ACTIVE]
"""States of earlier jobs, whose name was free again."""


def withdraw(
    name: str, server: str | None, folder: Path, patience_seconds: float, on_wait: OnWait
) -> Job:
    """The withdrawn job. Raises NotFound, or Unreachable when the server has it and is down."""
    home = Home(folder)
    with Queue(home.database) as queue:
        job = queue.find(name, server)
        if job.state in (JobState.SUBMITTED, JobState.ADMITTED):
            with Connection(find_server(job.server, folder)) as connection:
                patience = Patience(patience_seconds, on_wait)
                patiently(lambda: withdraw_there(connection, name), patience)
        queue.move(job.id, JobState.WITHDRAWN)
        at_work = queue.leased(job) and home.daemon_pid()
        job = queue.get(job.id)  # a tuner that ended just before has left its file
        for old in queue.jobs(*SETTLED, server=job.server):
            if old.name == name and old.id < job.id:
                queue.move(old.id, JobState.WITHDRAWN, unless=[JobState.WITHDRAWN])
                _clear_outbox(home, old)
                home.forget_job(old.id)
    _clear_outbox(home, job)
    if not at_work:  # else the daemon does it when the tuner has ended
        home.forget_job(job.id)
    return job


def _clear_outbox(home: Home, job: Job) -> None:
    if job.sha256:
        home.concept_file(job.server, job.sha256).unlink(missing_ok=True)
