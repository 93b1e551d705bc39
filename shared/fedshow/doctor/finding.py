"""What a check found: how a thing is, how bad that is, and what to type next."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """Works now; may not for long, or not for everybody."""

    PROBLEM = "problem"
    """Something that was asked for will fail."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    about: str
    state: State
    says: str
    advice: str = ""
    """What to type or do next; empty when nothing needs to be done."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    """The same for programs."""


@dataclass(frozen=True)
class Question:
    """What somebody wants to know about."""

    home: Path
    """FEDSHOW_HOME."""

    data: Path | None = None
    """A server's data folder on this machine."""

    server: str | None = None
    """A joined server by name, or any server as HOST[:PORT]; None: all that are joined."""

    base: str | None = None
    """A base; None: those of the joined servers."""


Check = Callable[[Question], Iterable[Finding]]
"""Looks at one group of things. What it raises becomes a finding, after those it gave."""


def fine(about: str, says: str, **facts: Any) -> Finding:
    """Nothing needs to be done."""
    return Finding(about, State.OK, says, facts=facts)


def warning(about: str, says: str, advice: str, **facts: Any) -> Finding:
    """Somebody should know."""
    return Finding(about, State.WARNING, says, advice, facts)


def problem(about: str, says: str, advice: str, **facts: Any) -> Finding:
    """Somebody must do something."""
    return Finding(about, State.PROBLEM, says, advice, facts)
