"""Taking a concept back, whatever has become of it so far."""

from pathlib import Path

from fedshow.transfer.backoff import OnWait, Patience, patiently
from fedshow.transfer.connection import Connection
from fedshow.transfer.servers import find_server
from fedshow_client.daemon.courier import withdraw as withdraw_there
from fedshow_client.home import Home
from fedshow_client.queue import Job, JobState, Queue


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
    if job.sha256:
        home.concept_file(job.server, job.sha256).unlink(missing_ok=True)
    if not at_work:  # else the daemon does it when the tuner has ended
        home.forget_job(job.id)
    return job
