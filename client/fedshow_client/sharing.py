"""Changing who may have a concept, whatever has become of it so far."""

from collections.abc import Sequence
from pathlib import Path

from fedshow.errors import InvalidInput
from fedshow.transfer.backoff import OnWait, Patience, patiently
from fedshow.transfer.connection import Connection
from fedshow.transfer.servers import find_server
from fedshow_client.daemon.courier import show
from fedshow_client.home import Home
from fedshow_client.queue import Job, JobState, Queue
from fedshow_client.queue.rows import ACTIVE
from fedshow_client.visibility import check_visible_to


def show_to(
    name: str,
    words: Sequence[str],
    server: str | None,
    folder: Path,
    patience_seconds: float,
    on_wait: OnWait,
) -> Job:
    """The job, with who may have it from now on.

    Raises NotFound, InvalidInput, or Unreachable when the server has it and is down.
    """
    visible_to = check_visible_to(words)
    with Queue(Home(folder).database) as queue:
        job = queue.find(name, server)
        if job.state not in ACTIVE:
            raise InvalidInput(f"concept {name!r} is {job.state}: nobody has it")
        queue.show(job, visible_to)
        if job.state in (JobState.SUBMITTED, JobState.ADMITTED):
            with Connection(find_server(job.server, folder)) as connection:
                patience = Patience(patience_seconds, on_wait)
                patiently(lambda: show(connection, name, visible_to), patience)
        return queue.get(job.id)
