"""What the server and its nodes are doing now, as a member may see it: owners all, others their own."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedshow.errors import last_line
from fedshow.files import tail
from fedshow.roles import Role
from fedshow_server.flower.presence import Presence
from fedshow_server.folder import DataFolder
from fedshow_server.releasing.due import recorded
from fedshow_server.releasing.queue import FusionQueue
from fedshow_server.store import Concept, Drawing, DrawingState, Node, Store

TAIL_BYTES = 4096
LONGEST_WORD = 200


@dataclass(frozen=True)
class Fusing:
    """The queue of releases to make."""

    state: str
    releases: int
    """How many are due."""
    concepts: tuple[str, ...]
    """Of all of them; for owners."""
    recorded: int
    """How many of them are recorded already."""
    said: str
    """The worker's last word; for owners."""
    problem: str


@dataclass(frozen=True)
class NodeNow:
    """What one node does."""

    name: str
    role: Role
    present: bool
    doing: str


@dataclass(frozen=True)
class DrawingNow:
    """One drawing that is not finished."""

    owner: str
    state: DrawingState
    done_steps: int
    all_steps: int
    ahead: int


@dataclass(frozen=True)
class Now:
    """All of it, at one moment."""

    fusing: Fusing
    nodes: tuple[NodeNow, ...]
    drawings: tuple[DrawingNow, ...]
    without_samples: int


class Activity:
    """Looks at it whenever somebody asks."""

    def __init__(
        self, store: Store, folder: DataFolder, presence: Presence, fusion: FusionQueue
    ) -> None:
        self._store, self._folder = store, folder
        self._presence, self._fusion = presence, fusion

    def now(self, viewer: Node) -> Now:
        """What the viewer may see of it."""
        owns = viewer.role is Role.OWNER
        active = [node for node in self._store.members.nodes() if node.revoked is None]
        drawings = self._store.drawings.unfinished()
        shown = active if owns else [node for node in active if node.id == viewer.id]
        return Now(
            fusing=self._fusing(owns),
            nodes=self._nodes(shown, drawings),
            drawings=_drawings(drawings, {node.id: node.name for node in shown}),
            without_samples=self._store.samples.missing() if owns else 0,
        )

    def _fusing(self, owns: bool) -> Fusing:
        due, working = self._fusion.due, self._fusion.wants_card
        names = sorted({name for members in due.releases for name, _ in members})
        state = "nothing to fuse" if not due else "waits until it has been quiet"
        said = self._last_word() if owns and working else ""
        return Fusing(
            state="fusing" if working else state,
            releases=len(due.releases),
            concepts=tuple(names) if owns else (),
            recorded=len(recorded(self._folder.ledgers).keys() & set(names)),
            said=said,
            problem=self._fusion.problem if owns else "",
        )

    def _last_word(self) -> str:
        return last_line(tail(self._folder.logs / "fusing.log", TAIL_BYTES))[-LONGEST_WORD:]

    def _nodes(self, nodes: Sequence[Node], drawings: Sequence[Drawing]) -> tuple[NodeNow, ...]:
        wanted = self._store.concepts.wanted()
        return tuple(
            NodeNow(
                name=node.name,
                role=node.role,
                present=self._presence.is_present(node.id),
                doing=_doing(node, wanted, drawings),
            )
            for node in nodes
        )


def _doing(node: Node, wanted: Sequence[Concept], drawings: Sequence[Drawing]) -> str:
    names = sorted(concept.name for concept in wanted if concept.node_id == node.id)
    number = sum(drawing.node_id == node.id for drawing in drawings)
    found = [f"hands over {name}" for name in names[:3]]
    found += [f"and {len(names) - 3} more"] if len(names) > 3 else []
    found += [f"{number} drawing{'s' if number > 1 else ''} here"] if number else []
    return ", ".join(found) or "watches for releases"


def _drawings(found: Sequence[Drawing], names: dict[int, str]) -> tuple[DrawingNow, ...]:
    return tuple(
        DrawingNow(names[one.node_id], one.state, one.done_steps, one.all_steps, ahead)
        for ahead, one in enumerate(found)
        if one.node_id in names
    )
