"""How things stand, read from this machine only, so that it takes no time."""

from collections.abc import Iterator
from pathlib import Path

from fedshow.transfer.forms import Form
from fedshow.transfer.servers import KnownServer, home_folder, known_servers
from fedshow_client.daemon.node import node_trouble
from fedshow_client.daemon.progress import Progress, read_progress
from fedshow_client.home import Home, holder_name
from fedshow_client.queue import Job, JobState, Latest, Queue
from fedshow_client.status.facts import (
    ClientStatus,
    ConceptStatus,
    CopyStatus,
    ReleaseStatus,
    ServerStatus,
)

WAITING = (JobState.QUEUED, JobState.TUNED, JobState.SUBMITTED)
NOT_JOINED = "waits until server {!r} is joined again, as a contributor"


def read_status(folder: Path) -> ClientStatus:
    """How things stand; never says that something is being done that is not."""
    home = Home(folder)
    servers = known_servers(folder)
    daemon = home.daemon_pid()
    with Queue(home.database) as queue:
        taking = {server.name for server in servers if server.role.contributes}
        reader = _Reader(home, queue, taking, daemon)
        concepts = list(reader.concepts())
        return ClientStatus(
            home=str(folder),
            daemon=daemon,
            paused=queue.paused(),
            eta_seconds=reader.ahead,
            servers=[_server(server, home, queue) for server in servers],
            concepts=concepts,
        )


class _Reader:
    """Reads concepts in the order in which the daemon works on them, and adds up their times."""

    def __init__(self, home: Home, queue: Queue, joined: set[str], daemon: int | None) -> None:
        self._home, self._queue, self._joined, self._daemon = home, queue, joined, daemon
        self._jobs = queue.jobs()
        self._progress = {job.id: read_progress(home.job(job.id).progress) for job in self._jobs}
        told = ((_kind(job), self._progress[job.id]) for job in self._jobs)
        self._known = {kind: progress for kind, progress in told if progress.rate}
        self.ahead = None if queue.paused() or daemon is None else 0.0
        """Seconds until all is tuned that was read so far."""

    def concepts(self) -> Iterator[ConceptStatus]:
        """All of them; one that cannot be foretold makes those after it so too."""
        for job in sorted(self._jobs, key=self._turn):
            left = self._seconds_left(job)
            eta = None
            if job.state == JobState.QUEUED and not job.paused and not self._stranded(job):
                self.ahead = eta = _sum(self.ahead, left)
            yield self._concept(job, left, eta)

    def _turn(self, job: Job) -> tuple[bool, bool, int, int]:
        if job.state != JobState.QUEUED:
            return True, False, 0, job.id
        return False, not self._tuning(job), -job.priority, job.id

    def _tuning(self, job: Job) -> bool:
        """Whether a living daemon is at work on it."""
        ours = self._daemon is not None and job.holder == holder_name(self._daemon)
        return ours and self._queue.leased(job)

    def _stranded(self, job: Job) -> bool:
        return job.state in WAITING and job.server not in self._joined and not self._tuning(job)

    def _seconds_left(self, job: Job) -> float | None:
        """By its own rate, or by that of the newest job of the same kind."""
        if job.state != JobState.QUEUED:
            return None
        own, like = self._progress[job.id], self._known.get(_kind(job))
        rate = own.rate or (like and like.rate)
        steps = own.steps or job.options.get("steps") or (like and like.steps)
        return (steps - own.step) / rate if rate and steps else None

    def _concept(self, job: Job, left: float | None, eta: float | None) -> ConceptStatus:
        tuning, progress = self._tuning(job), self._progress[job.id]
        report = self._home.job(job.id).report(job.name)
        return ConceptStatus(
            job=job.id,
            name=job.name,
            class_word=job.class_word,
            server=job.server,
            state="tuning" if tuning else job.state.value,
            added=job.created,
            priority=job.priority,
            paused=job.paused and job.state == JobState.QUEUED,
            step=progress.step,
            steps=progress.steps,
            seconds=progress.seconds,
            rate=progress.rate,
            seconds_left=left,
            eta_seconds=eta,
            reason=self._reason(job, progress),
            not_before=job.not_before if job.state == JobState.QUEUED else 0.0,
            visible_to=job.visible_to,
            images=job.images,
            base=job.base,
            options=job.options,
            report=str(report) if report.exists() else None,
            sha256=job.sha256,
            size_bytes=job.size_bytes,
        )

    def _reason(self, job: Job, progress: Progress) -> str:
        if self._tuning(job):
            return progress.waiting
        return NOT_JOINED.format(job.server) if self._stranded(job) else job.reason


def _sum(ahead: float | None, left: float | None) -> float | None:
    return None if ahead is None or left is None else ahead + left


def _kind(job: Job) -> tuple[str, str]:
    """Jobs of one kind take about as long for a step."""
    options = {name: value for name, value in job.options.items() if name not in ("steps", "seed")}
    return job.base, str(sorted(options.items()))


def _server(server: KnownServer, home: Home, queue: Queue) -> ServerStatus:
    seen = queue.servers_seen().get(server.name)
    newest = next(iter(queue.releases_seen(server.name)), None)
    latest = queue.latest(server.name)
    gone = latest is not None and not latest.release
    return ServerStatus(
        name=server.name,
        address=server.address,
        node=server.node,
        role=server.role,
        base=server.base.name,
        signing_key=server.signing_key,
        reached=seen.reached if seen else 0.0,
        trouble=(seen and seen.trouble) or node_trouble(home, server.name),
        release=None
        if gone or newest is None
        else ReleaseStatus(id=newest.release, concepts=newest.concepts.split()),
        withdrawn=gone and newest is not None,
        kept=latest and _copy(server, latest),
    )


def _copy(server: KnownServer, latest: Latest) -> CopyStatus | None:
    if latest.form not in tuple(Form):
        return None
    form = Form(latest.form)
    folder = server.copy_folder(home_folder(), form)
    here = latest.kept if folder.exists() else ""
    return CopyStatus(
        folder=str(folder), form=form.value, release=here or None, trouble=latest.trouble
    )
