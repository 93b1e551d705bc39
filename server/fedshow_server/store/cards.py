"""What people see of concepts, and how they ask for it."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from fedshow_server.store.concept_rows import State

LEAST_IDENTITY = 0.2
"""Shares of less say nothing."""


class Status(StrEnum):
    """What people call the state of a concept."""

    WAITING = "waiting"
    """Offered; its file is still to come."""
    QUARANTINED = "quarantined"
    """Something is odd about it: the server's owner decides."""
    ADMITTED = "admitted"
    REFUSED = "refused"
    REPLACED = "replaced"
    """Its node brought a newer one of the same name."""
    WITHDRAWN = "withdrawn"


STATES = {
    Status.WAITING: State.WANTED,
    Status.QUARANTINED: State.PENDING,
    Status.ADMITTED: State.ADMITTED,
    Status.REFUSED: State.REFUSED,
    Status.REPLACED: State.REPLACED,
    Status.WITHDRAWN: State.WITHDRAWN,
}
STATUS_OF = {state: status for status, state in STATES.items()}
CURRENT = (Status.WAITING, Status.QUARANTINED, Status.ADMITTED)
"""Of concepts that nobody took back, refused or replaced."""


@dataclass(frozen=True)
class Search:
    """Which concepts somebody wants to see; nothing set: all."""

    text: str = ""
    """Words, each of which is part of the name, the class or the owner's name, in any case."""
    statuses: Collection[Status] = ()
    class_word: str = ""
    owner: str = ""
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True)
class Picture:
    """One sample, without its content."""

    number: int
    prompt: str
    scale: float
    seed: int
    steps: int
    width: int
    height: int
    sha256: str


@dataclass(frozen=True)
class Identity:
    """How much a concept is itself in pictures: by itself, and in a release.

    Mean likeness to pictures that the concept draws by itself from other noise, since no private ones are
    here: it tells what fusing costs, not how well the concept was taught.
    """

    scorer: str
    before: float
    """Of its own pictures at full scale."""
    after: float | None = None
    """Of the release's pictures from the same prompts and seeds; None: not measured."""
    release: str | None = None
    """The newest measured release with it that the viewer may have."""

    @property
    def kept(self) -> float | None:
        """What of the identity is left after fusion: 1 is all.

        None also of a concept that is not even like itself: shares of next to nothing say nothing.
        """
        if self.after is None or self.before < LEAST_IDENTITY:
            return None
        return self.after / self.before


@dataclass(frozen=True)
class Card:
    """One concept as it is shown."""

    name: str
    class_word: str
    owner: str
    mine: bool
    """Whether the viewer brought it."""
    status: Status
    reason: str
    """Why it is quarantined or refused."""
    size_bytes: int
    rank: int | None
    """None: its file never came, or came before ranks were noted and was not drawn with since."""
    sha256: str
    created: datetime
    visible_to: tuple[str, ...] | None
    """Nodes that may have it beside its own; None: everybody, or not for the viewer to know."""
    pictures: tuple[Picture, ...] = ()
    identity: Identity | None = None

    @property
    def face(self) -> Picture | None:
        """The picture that stands for it: its first at the highest scale."""
        return max(self.pictures, key=lambda one: (one.scale, -one.number), default=None)


@dataclass(frozen=True)
class Page:
    """Some of the concepts that were searched for, newest first."""

    total: int
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Choices:
    """What there is to filter by, with how many concepts."""

    statuses: dict[Status, int] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)
    owners: dict[str, int] = field(default_factory=dict)
