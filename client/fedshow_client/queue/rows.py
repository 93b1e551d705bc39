"""The tables of the client's database; what changes here needs a step in `schema`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Enum, Index
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class JobState(StrEnum):
    """How far a concept has come. There is no "running": a lease says that, and leases end."""

    QUEUED = "queued"
    """To be tuned; being tuned while a lease is alive."""
    TUNED = "tuned"
    """The file lies in the outbox; the server has not acknowledged it."""
    SUBMITTED = "submitted"
    """The server wants it and fetches it."""
    ADMITTED = "admitted"
    REFUSED = "refused"
    FAILED = "failed"
    HELD = "held"
    """Tuned, but it gives back more of single images than its owner allows: the file stays here."""
    WITHDRAWN = "withdrawn"


ACTIVE = (JobState.QUEUED, JobState.TUNED, JobState.SUBMITTED, JobState.ADMITTED)
"""States in which a name is taken."""
FINISHED = (JobState.TUNED, JobState.SUBMITTED, JobState.ADMITTED, JobState.REFUSED, JobState.HELD)
"""States in which nobody will go on tuning."""


@dataclass(frozen=True)
class NewJob:
    """A concept to be tuned and offered to one server."""

    server: str
    name: str
    class_word: str
    images: Path
    base: str
    priority: int = 0
    """Higher ones are tuned first."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of `fedshow tune` by name: true and false become `--name` and `--no-name`, lists repeat."""
    visible_to: Sequence[str] = ("everybody",)
    """Who may have it: `everybody`, `me`, or names of nodes."""


STATE = Enum(JobState, native_enum=False, length=16, values_callable=lambda kind: list(kind))


class Table(DeclarativeBase):
    """Everything in client.db."""


class Job(Table):
    """One concept on its way from images to a server."""

    __tablename__ = "jobs"
    __table_args__ = (Index("jobs_by_state", "state", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    server: Mapped[str]
    name: Mapped[str]
    class_word: Mapped[str]
    images: Mapped[str]
    base: Mapped[str]
    priority: Mapped[int] = mapped_column(default=0)
    paused: Mapped[bool] = mapped_column(default=False)
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    visible_to: Mapped[list[str]] = mapped_column(JSON, default=lambda: ["everybody"])
    state: Mapped[JobState] = mapped_column(STATE)
    reason: Mapped[str] = mapped_column(default="")
    sha256: Mapped[str] = mapped_column(default="")
    size_bytes: Mapped[int] = mapped_column(default=0)
    tries: Mapped[int] = mapped_column(default=0)
    """Failed tries since the last progress; below zero: failures in a row that were nobody's fault."""
    not_before: Mapped[float] = mapped_column(default=0.0)
    holder: Mapped[str] = mapped_column(default="")
    lease_until: Mapped[float] = mapped_column(default=0.0)
    created: Mapped[float]


class QueueState(Table):
    """One row, about the queue as a whole."""

    __tablename__ = "queue_state"

    id: Mapped[int] = mapped_column(primary_key=True, default=1)
    paused: Mapped[bool] = mapped_column(default=False)


class SeenServer(Table):
    """When a server last answered, and what is wrong with it."""

    __tablename__ = "seen_servers"

    server: Mapped[str] = mapped_column(primary_key=True)
    reached: Mapped[float] = mapped_column(default=0.0)
    trouble: Mapped[str] = mapped_column(default="")


class Latest(Table):
    """What a server told last of its newest release, and the copy of it that is kept here."""

    __tablename__ = "latest"

    server: Mapped[str] = mapped_column(primary_key=True)
    release: Mapped[str] = mapped_column(default="")
    """Empty: none, for what there was has been withdrawn."""
    kept: Mapped[str] = mapped_column(default="")
    """The release that lies here; empty: none."""
    form: Mapped[str] = mapped_column(default="")
    trouble: Mapped[str] = mapped_column(default="")
    """Why the copy is not up to date."""


class SeenRelease(Table):
    """A release that a server told us about."""

    __tablename__ = "seen_releases"

    server: Mapped[str] = mapped_column(primary_key=True)
    release: Mapped[str] = mapped_column(primary_key=True)
    concepts: Mapped[str]
    """Names, separated by spaces."""
    seen: Mapped[float]
