"""Tuning one job in a child process; what comes out is checked and put into the outbox."""

import logging
import signal
from collections.abc import Iterator, Mapping
from threading import Event
from typing import Any

from fedshow.concepts import read_concept
from fedshow.errors import FedshowError, InvalidInput, RefusedConcept, last_line
from fedshow.files import tail
from fedshow.locks import locked
from fedshow.transfer.servers import KnownServer, private_folder
from fedshow_client.daemon.child import Child
from fedshow_client.daemon.progress import read_progress
from fedshow_client.daemon.tune_child import UNREACHABLE
from fedshow_client.home import Home
from fedshow_client.job_folder import JobFolder
from fedshow_client.queue import Job, JobState, Queue
from fedshow_client.settings import ClientSettings
from fedshow_client.tuning.leakage.verdict import too_much
from fedshow_client.tuning.watching.sample_files import keep_last_look

log = logging.getLogger(__name__)

ENTRY = "fedshow_client.daemon.tune_child:main"
PAUSE_SECONDS = 0.5
GRACE_SECONDS = 60.0
"""For the step or the pictures that the tuner is at, and its checkpoint."""

LIMIT = "max_leakage"
"""The option of a job that says how much of single images it may give back."""

WRONG_INPUT = 2
"""Exit code of `fedshow tune` when trying again would not help."""


class Tuner:
    """Takes jobs from the queue one at a time."""

    def __init__(self, home: Home, queue: Queue, settings: ClientSettings, holder: str) -> None:
        self._home, self._queue, self._settings, self._holder = home, queue, settings, holder

    def tune_next(self, servers: Mapping[str, KnownServer], stop: Event) -> Job | None:
        """Works on the first job for one of `servers` until it is done, failed or stopped.

        The first is the oldest of those with the highest priority; None when there is none. Jobs for
        other servers wait until their server is joined again.
        """
        job = self._queue.claim(self._holder, self._settings.lease_seconds, list(servers))
        if job is None:
            return None
        log.info("tuning %s", job.name)
        try:
            self._tune(job, servers[job.server], stop)
        except InvalidInput as error:
            self._fail(job, f"tuning made a file that may not be used: {error}")
        finally:
            if self._queue.get(job.id).state == JobState.WITHDRAWN:
                self._home.forget_job(job.id)
        return job

    def _tune(self, job: Job, server: KnownServer, stop: Event) -> None:
        folder = self._home.job(job.id)
        private_folder(folder.path)
        before = read_progress(folder.progress).step
        tuned = folder.result(job.name).exists()
        code = 0 if tuned else self._run(job, server, folder, stop)
        progressed = read_progress(folder.progress).step > before
        if code is None:
            self._queue.put_back(job.id, self._holder)
        elif code == 0:
            self._offer(job, server, folder)
        elif code == WRONG_INPUT:
            self._fail(job, _told(folder))
        else:
            reason = _killed(-code) if code < 0 else _told(folder) or f"tuning ended with {code}"
            self._try_later(job, reason, blame=code != UNREACHABLE, progressed=progressed)

    def _try_later(self, job: Job, reason: str, *, blame: bool, progressed: bool) -> None:
        """Puts the job back; it has failed when its tries are used up."""
        tries = self._queue.try_later(
            job.id, self._holder, reason, blame=blame, progressed=progressed
        )
        log.warning("tuning %s failed, try %s: %s", job.name, tries, reason)
        if tries >= self._settings.tune_tries:
            self._fail(job, reason)

    def _run(self, job: Job, server: KnownServer, folder: JobFolder, stop: Event) -> int | None:
        """The tuner's exit code; None when it was stopped, or the job paused or taken away."""
        arguments = _arguments(job, server, folder, self._settings.device)
        with folder.lock.open("a") as lock:
            while not locked(lock):  # a daemon was killed, and its tuner is not gone yet
                if not self._goes_on(job, stop) or stop.wait(PAUSE_SECONDS):
                    return None
            child = Child(ENTRY, arguments, folder.log, keep=(lock,))
            try:
                while (code := child.wait(PAUSE_SECONDS)) is None:
                    if not self._goes_on(job, stop):
                        return None
                return code
            finally:
                child.end(GRACE_SECONDS)

    def _goes_on(self, job: Job, stop: Event) -> bool:
        lease = self._settings.lease_seconds
        return not stop.is_set() and self._queue.renew(job.id, self._holder, lease)

    def _offer(self, job: Job, server: KnownServer, folder: JobFolder) -> None:
        """Puts the checked file into the outbox, then says so in the queue, then tidies up.

        A concept whose leakage is above the limit never gets there.
        """
        result = folder.result(job.name)
        try:
            concept = read_concept(result, server.base)
            if (concept.header.name, concept.header.class_word) != (job.name, job.class_word):
                raise RefusedConcept(f"it is {concept.header.name!r}, not {job.name!r}")
        except FedshowError:
            result.unlink()
            raise
        limit = job.options.get(LIMIT, self._settings.max_leakage)
        if reason := too_much(concept.header.metrics, limit):
            self._hold(job, f"{reason}; the file stays at {result}")
            return
        private_folder(self._home.outbox(job.server))
        concept.save(self._home.concept_file(job.server, concept.sha256))
        if not self._queue.finish(job.id, self._holder, concept.sha256, len(concept.blob)):
            self._home.concept_file(job.server, concept.sha256).unlink()  # withdrawn meanwhile
            return
        result.unlink()
        keep_last_look(folder.work)
        log.info("tuned %s: %s bytes", job.name, len(concept.blob))

    def _hold(self, job: Job, reason: str) -> None:
        """Keeps a tuned concept here."""
        self._settle(job, JobState.HELD, reason)
        keep_last_look(self._home.job(job.id).work)
        log.warning("%s is not offered: %s", job.name, reason)

    def _fail(self, job: Job, reason: str) -> None:
        self._settle(job, JobState.FAILED, reason)

    def _settle(self, job: Job, state: JobState, reason: str) -> None:
        settled = [state for state in JobState if state != JobState.QUEUED]
        self._queue.move(job.id, state, reason, unless=settled)


def _told(folder: JobFolder) -> str:
    """The tuner's last words."""
    return last_line(tail(folder.log))


def _killed(number: int) -> str:
    """What is known of a tuner that a signal ended: its last words are about something else."""
    perhaps = ", perhaps because memory ran out" if number == signal.SIGKILL else ""
    return f"the tuner was ended by signal {number} ({signal.strsignal(number)}){perhaps}"


def _arguments(job: Job, server: KnownServer, folder: JobFolder, device: str) -> list[str]:
    return [
        "tune",
        job.images,
        *("--name", job.name, "--class", job.class_word, "--base", job.base),
        *("--base-sha256", server.base.sha256),
        *("-o", str(folder.result(job.name)), "--work", str(folder.work)),
        *("--progress", str(folder.progress), "--device", device),
        *(
            text
            for name, value in job.options.items()
            if name != LIMIT  # it says what may leave, and that is decided where things leave
            for text in _option(name, value)
        ),
    ]


def _option(name: str, value: Any) -> Iterator[str]:
    name = name.replace("_", "-")
    if isinstance(value, bool):
        yield f"--{name}" if value else f"--no-{name}"
        return
    for one in value if isinstance(value, list) else [value]:
        yield from (f"--{name}", str(one))
