"""The queue in SQLite. A job is claimed by a lease that runs out: a crash leaves nothing stuck."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import ColumnElement, Engine, create_engine, event, exists, select, update
from sqlalchemy.orm import Session

from fedshow.errors import InvalidInput, NotFound
from fedshow_client.queue.rows import (
    ACTIVE,
    Job,
    JobState,
    Latest,
    NewJob,
    QueueState,
    SeenRelease,
    SeenServer,
)
from fedshow_client.queue.schema import prepare

BUSY_MILLISECONDS = 10_000
OWNER_ONLY = 0o600
LONGEST_PAUSE_SECONDS = 300
"""Before a job that failed is tried again."""

FIRST = (Job.priority.desc(), Job.id)
"""The order in which jobs are tuned."""


class Queue:
    """Jobs, and what servers told us; safe between threads and processes."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=OWNER_ONLY)
        self._clock = clock
        self._engine = _open(path)
        prepare(self._engine, path)

    def close(self) -> None:
        """Lets go of the database file."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, new: NewJob) -> Job:
        """The queued job; raises InvalidInput while the server has this name from us."""
        with self._writing() as session:
            _refuse_taken(session, new.server, new.name)
            fields = {**vars(new), "images": str(new.images), "options": dict(new.options)}
            fields["visible_to"] = list(new.visible_to)
            job = Job(state=JobState.QUEUED, created=self._clock(), **fields)
            session.add(job)
            session.flush()
            return job

    def claim(
        self, holder: str, seconds: float, servers: Collection[str] | None = None
    ) -> Job | None:
        """The job to be tuned next, now leased to `holder`; None if there is none.

        The oldest of those with the highest priority; with `servers` only jobs for these.
        """
        now = self._clock()
        with self._writing() as session:
            waiting = (
                select(Job)
                .where(Job.state == JobState.QUEUED, Job.lease_until <= now, Job.not_before <= now)
                .where(~Job.paused, ~_queue_paused())
            )
            if servers is not None:
                waiting = waiting.where(Job.server.in_(servers))
            job = session.scalars(waiting.order_by(*FIRST)).first()
            if job:
                job.holder, job.lease_until, job.reason = holder, now + seconds, ""
            return job

    def renew(self, job_id: int, holder: str, seconds: float) -> bool:
        """Whether the job still is `holder`'s and nobody paused it; if so the lease is prolonged."""
        now = self._clock()
        ours = update(Job).where(
            Job.id == job_id, Job.holder == holder, Job.state == JobState.QUEUED
        )
        ours = ours.where(~Job.paused, ~_queue_paused())
        return self._changed(ours.values(lease_until=now + seconds))

    def drop_leases(self) -> None:
        """Ends all leases: for a daemon that knows itself to be the only one."""
        self._changed(update(Job).values(holder="", lease_until=0.0))

    def put_back(self, job_id: int, holder: str) -> None:
        """Gives a claimed job back, as if it had not been claimed."""
        ours = update(Job).where(Job.id == job_id, Job.holder == holder)
        self._changed(ours.values(holder="", lease_until=0.0))

    def try_later(
        self, job_id: int, holder: str, reason: str, *, blame: bool, progressed: bool = False
    ) -> int:
        """Gives a claimed job back after a failure; returns its failed tries since the last progress.

        Without `blame` the try does not count. The pause grows with every failure in a row.
        """
        with self._writing() as session:
            job = session.get_one(Job, job_id)
            if job.holder == holder:
                before = 0 if progressed else job.tries
                job.tries = max(before, 0) + 1 if blame else min(before, 0) - 1
                pause = min(LONGEST_PAUSE_SECONDS, 2 ** min(abs(job.tries), 16))
                job.holder, job.lease_until, job.reason = "", 0.0, reason
                job.not_before = self._clock() + pause
            return max(job.tries, 0)

    def finish(self, job_id: int, holder: str, sha256: str, size_bytes: int) -> bool:
        """Marks a claimed job as tuned; False when it is no longer `holder`'s."""
        ours = update(Job).where(
            Job.id == job_id, Job.holder == holder, Job.state == JobState.QUEUED
        )
        tuned = {"state": JobState.TUNED, "sha256": sha256, "size_bytes": size_bytes}
        return self._changed(ours.values(**tuned, holder="", lease_until=0.0, reason=""))

    def move(
        self, job_id: int, state: JobState, reason: str = "", *, unless: Iterable[JobState] = ()
    ) -> bool:
        """Sets a job's state; False when it was in one of the states `unless`."""
        one = update(Job).where(Job.id == job_id, Job.state.not_in(tuple(unless)))
        return self._changed(one.values(state=state, reason=reason, holder="", lease_until=0.0))

    def pause(self, job: Job, paused: bool = True) -> None:
        """Keeps a job from being tuned, also one that is at work, or lets it go on.

        Raises InvalidInput when it is tuned already.
        """
        self._set_waiting(job, "paused or resumed", paused=paused)

    def pause_all(self, paused: bool = True) -> None:
        """Keeps all jobs from being tuned, or lets those go on that are not paused themselves."""
        with self._writing() as session:
            session.merge(QueueState(id=1, paused=paused))

    def paused(self) -> bool:
        """Whether the queue as a whole is paused."""
        return any(state.paused for state in self._all(select(QueueState)))

    def prioritise(self, job: Job, priority: int) -> None:
        """Sets a job's priority; raises InvalidInput when it is tuned already."""
        self._set_waiting(job, "given a priority", priority=priority)

    def show(self, job: Job, visible_to: Sequence[str]) -> None:
        """Changes who may have a concept, here; the server hears of it elsewhere."""
        self._changed(update(Job).where(Job.id == job.id).values(visible_to=list(visible_to)))

    def retry(self, job: Job, before: Callable[[], None] = lambda: None) -> None:
        """Queues a failed job again, or ends the pause after a failed try.

        One that is held is offered when the limit now allows it. Calls `before` when nobody can
        be at work on it. Raises InvalidInput when it has not failed, or its name is taken again.
        """
        with self._writing() as session:
            found = session.get_one(Job, job.id)
            if found.state in (JobState.FAILED, JobState.HELD):
                _refuse_taken(session, found.server, found.name)
            elif found.state != JobState.QUEUED or not found.reason:
                raise InvalidInput(
                    f"concept {found.name!r} is {found.state}; only one that failed can be tried again"
                )
            before()
            found.state, found.reason, found.sha256 = JobState.QUEUED, "", ""
            found.tries, found.not_before = 0, 0.0

    def jobs(self, *states: JobState, server: str | None = None) -> list[Job]:
        """Jobs in these states (all states if none is given), oldest first."""
        query = select(Job).order_by(Job.id)
        if states:
            query = query.where(Job.state.in_(states))
        if server is not None:
            query = query.where(Job.server == server)
        return self._all(query)

    def get(self, job_id: int) -> Job:
        """The job as it is now."""
        with Session(self._engine, expire_on_commit=False) as session:
            return session.get_one(Job, job_id)

    def look_up(self, job_id: int) -> Job:
        """The same for a number that somebody says; raises NotFound."""
        with Session(self._engine, expire_on_commit=False) as session:
            if job := session.get(Job, job_id):
                return job
        raise NotFound(f"no job {job_id}")

    def find(self, name: str, server: str | None = None) -> Job:
        """The newest job of this name; raises NotFound, or InvalidInput when servers share it."""
        jobs = [job for job in self.jobs(server=server) if job.name == name]
        if not jobs:
            raise NotFound(f"no concept {name!r} in the queue")
        if len({job.server for job in jobs}) > 1:
            raise InvalidInput(f"concept {name!r} is with several servers; name one with --server")
        return jobs[-1]

    def leased(self, job: Job) -> bool:
        """Whether the job is somebody's: at work on it, unless that somebody is dead."""
        return job.state == JobState.QUEUED and job.lease_until > self._clock()

    def reached(self, server: str, trouble: str = "") -> None:
        """Notes that a server answered, or what kept it from answering."""
        with self._writing() as session:
            seen = session.get(SeenServer, server) or SeenServer(server=server, reached=0.0)
            seen.trouble = trouble
            if not trouble:
                seen.reached = self._clock()
            session.add(seen)

    def saw_release(self, server: str, release: str, concepts: Iterable[str]) -> None:
        """Notes a release; the one told last is the newest."""
        names = " ".join(concepts)
        with self._writing() as session:
            seen = SeenRelease(server=server, release=release, concepts=names, seen=self._clock())
            session.merge(seen)
            session.merge(Latest(server=server, release=release))

    def saw_no_release(self, server: str) -> None:
        """Notes that no release is the server's latest."""
        with self._writing() as session:
            session.merge(Latest(server=server, release=""))

    def latest(self, server: str) -> Latest | None:
        """What the server told last of its newest release; None before it told anything."""
        found: list[Latest] = self._all(select(Latest).where(Latest.server == server))
        return next(iter(found), None)

    def kept(
        self, server: str, form: str, *, release: str | None = None, trouble: str = ""
    ) -> None:
        """Notes which release the copy kept here is (empty: none), or why it is not the newest."""
        values = {"form": form, "trouble": trouble}
        values |= {} if release is None else {"kept": release}
        self._changed(update(Latest).where(Latest.server == server).values(**values))

    def servers_seen(self) -> dict[str, SeenServer]:
        """What is known of each server that was tried, by name."""
        return {seen.server: seen for seen in self._all(select(SeenServer))}

    def releases_seen(self, server: str) -> list[SeenRelease]:
        """Releases of a server, the newest first."""
        mine = select(SeenRelease).where(SeenRelease.server == server)
        return self._all(mine.order_by(SeenRelease.seen.desc()))

    def _set_waiting(self, job: Job, what: str, **values: Any) -> None:
        waiting = update(Job).where(Job.id == job.id, Job.state == JobState.QUEUED)
        if not self._changed(waiting.values(**values)):
            state = self.get(job.id).state
            raise InvalidInput(
                f"concept {job.name!r} is {state}; only one that waits for tuning can be {what}"
            )

    def _all(self, query: Any) -> list[Any]:
        with Session(self._engine, expire_on_commit=False) as session:
            return list(session.scalars(query))

    def _changed(self, statement: Any) -> bool:
        with self._writing() as session:
            result: Any = session.execute(statement)
            return bool(result.rowcount)

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session


def _queue_paused() -> ColumnElement[bool]:
    return exists().where(QueueState.paused)


def _refuse_taken(session: Session, server: str, name: str) -> None:
    taken = select(Job).where(Job.server == server, Job.name == name, Job.state.in_(ACTIVE))
    if job := session.scalars(taken).first():
        raise InvalidInput(
            f"concept {name!r} is already {job.state} for {server}; "
            f"`fedshow client withdraw {name}` first"
        )


def _open(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _configure(connection: Any, _: Any) -> None:
    """One transaction writes at a time and waits for its turn; readers see whole states."""
    connection.isolation_level = None  # SQLAlchemy says when a transaction begins
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", f"busy_timeout={BUSY_MILLISECONDS}", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
