"""Tells a server what is in the outbox and learns what became of it."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fedshow.errors import (
    Exhausted,
    FedshowError,
    Forbidden,
    InvalidInput,
    NotFound,
    Unreachable,
)
from fedshow.transfer.connection import Connection
from fedshow.v1 import concepts_pb2 as pb
from fedshow_client.home import Home
from fedshow_client.queue import Job, JobState, Queue
from fedshow_client.visibility import differs, message_of

log = logging.getLogger(__name__)

STATES = {
    pb.CONCEPT_STATE_WANTED: JobState.SUBMITTED,
    pb.CONCEPT_STATE_PENDING: JobState.SUBMITTED,
    pb.CONCEPT_STATE_ADMITTED: JobState.ADMITTED,
    pb.CONCEPT_STATE_REFUSED: JobState.REFUSED,
    pb.CONCEPT_STATE_WITHDRAWN: JobState.WITHDRAWN,
    pb.CONCEPT_STATE_REPLACED: JobState.WITHDRAWN,
}
LIVE = (pb.CONCEPT_STATE_WANTED, pb.CONCEPT_STATE_PENDING, pb.CONCEPT_STATE_ADMITTED)
PENDING = "waits for the server's owner: {}"
FORGOTTEN = "out of all that the server recorded for fusing, by its receipt"
"""Reason of a withdrawal that is complete."""
REMOVED = "removed by the server"
"""Reason of a withdrawal that was not the user's."""
GONE = "the tuned file is gone from the outbox; add the concept again"

OFFERED = (JobState.TUNED, JobState.SUBMITTED, JobState.ADMITTED)


def reconcile(connection: Connection, queue: Queue, home: Home) -> bool:
    """Brings queue and server to the same state; True while the server still wants something.

    A concept that the server does not know is submitted (again): both sides may crash at any time.
    Raises Unreachable or Forbidden.
    """
    server = connection.server
    listed = connection.call(connection.concepts.ListConcepts, pb.ListConceptsRequest()).concepts
    ours = {concept.sha256: concept for concept in listed if concept.owner == server.node}
    _take_back(connection, queue, ours)
    for job in queue.jobs(*OFFERED, server=server.name):
        concept = ours.get(job.sha256)
        state, reason = _settled(connection, job, concept, home)
        if concept and concept.state in LIVE and differs(concept, job.visible_to):
            show(connection, job.name, job.visible_to)
        if (state, reason) != (job.state, job.reason):
            log.info("%s is %s %s", job.name, state, reason)
            queue.move(job.id, state, reason, unless=(JobState.WITHDRAWN,))
        if state in (JobState.REFUSED, JobState.WITHDRAWN):
            _clear(home.concept_file(job.server, job.sha256))
    waiting = queue.jobs(JobState.TUNED, JobState.SUBMITTED, server=server.name)
    return any(not job.reason for job in waiting)  # one with a reason waits for a person


def _take_back(connection: Connection, queue: Queue, ours: dict[str, pb.Concept]) -> None:
    """Withdraws what the user withdrew here while it was on its way to the server."""
    mine = connection.server.name
    offered = {job.name for job in queue.jobs(*OFFERED, server=mine)}
    for job in queue.jobs(JobState.WITHDRAWN, server=mine):
        concept = ours.get(job.sha256)
        if concept and concept.HasField("removal") and job.reason != FORGOTTEN:
            queue.move(job.id, JobState.WITHDRAWN, FORGOTTEN)
        if concept is None or job.name in offered or job.reason == REMOVED:
            continue
        if concept.state in LIVE:
            withdraw(connection, job.name)


def withdraw(connection: Connection, name: str) -> None:
    """Takes a concept of this node out of the server's next release, if it is in there at all."""
    request = pb.WithdrawConceptRequest(name=name)
    with _known_or_gone(connection, name):
        connection.call(connection.concepts.WithdrawConcept, request)


def show(connection: Connection, name: str, visible_to: Sequence[str]) -> None:
    """Tells the server who may have a concept of this node, if it has it at all."""
    request = pb.ShowConceptRequest(name=name, visible=message_of(visible_to))
    with _known_or_gone(connection, name):
        connection.call(connection.concepts.ShowConcept, request)


@contextmanager
def _known_or_gone(connection: Connection, name: str) -> Iterator[None]:
    """Lets NotFound inside pass, but not while the server lists the concept as alive and this node's."""
    try:
        yield
    except NotFound:
        node = connection.server.node
        listed = connection.call(connection.concepts.ListConcepts, pb.ListConceptsRequest())
        if any(
            (one.name, one.owner) == (name, node) and one.state in LIVE for one in listed.concepts
        ):
            raise


def _settled(
    connection: Connection, job: Job, concept: pb.Concept | None, home: Home
) -> tuple[JobState, str]:
    """The state that a job is in once server and outbox have been asked."""
    if concept and concept.state != pb.CONCEPT_STATE_WANTED:
        if concept.state == pb.CONCEPT_STATE_PENDING:
            return JobState.SUBMITTED, PENDING.format(concept.reason)
        removed = concept.state == pb.CONCEPT_STATE_WITHDRAWN
        return STATES[concept.state], REMOVED if removed else concept.reason
    if home.concept_file(job.server, job.sha256).exists():
        return (JobState.SUBMITTED, "") if concept else _submit(connection, job)
    if concept:
        withdraw(connection, job.name)  # or the server would ask for it for ever
    return JobState.FAILED, GONE


def _submit(connection: Connection, job: Job) -> tuple[JobState, str]:
    request = pb.SubmitConceptRequest(
        name=job.name,
        class_word=job.class_word,
        sha256=job.sha256,
        size_bytes=job.size_bytes,
        base_sha256=connection.server.base.sha256,
        visible=message_of(job.visible_to),
    )
    try:
        concept = connection.call(connection.concepts.SubmitConcept, request).concept
    except Exhausted as error:  # others may fit
        return job.state, str(error)
    except (Unreachable, Forbidden):
        raise
    except InvalidInput as error:
        return JobState.REFUSED, str(error)
    except FedshowError as error:
        log.warning("%s refuses %s for now: %s", connection.server.name, job.name, error)
        return job.state, job.reason
    return STATES[concept.state], concept.reason


def _clear(file: Path) -> None:
    file.unlink(missing_ok=True)
