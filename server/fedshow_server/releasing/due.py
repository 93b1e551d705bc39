"""What a fusion has to do: which releases are due, and what has to leave the statistics.

Everybody who may have some of the concepts has a release of just these: who may have all, the release of
all. Nodes that may have the same share it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedshow_server.store import Concept, Removal, State, Store
from fedshow_server.store.visibility import Viewer

Members = frozenset[tuple[str, str]]
"""Name and digest of each concept."""


@dataclass(frozen=True)
class Due:
    """Work for the fusion worker; false when there is none."""

    releases: tuple[Members, ...] = ()
    """Sets that are all that somebody may have, and not the release made last for them, and larger ones
    of others, who may have these, too. Smallest first, so that nobody's latest holds less at the end.
    """
    leaving: frozenset[str] = frozenset()
    """Names of concepts that are recorded and may not be any more."""

    def __bool__(self) -> bool:
        return bool(self.releases or self.leaving)


def find_due(store: Store, ledgers: Path) -> Due:
    """What is due now."""
    concepts = store.concepts.all()
    admitted = [concept for concept in concepts if concept.state is State.ADMITTED]
    wanted: set[Members] = set()
    found: set[Members] = set()
    active = (node for node in store.members.nodes() if not node.revoked)
    for viewer in (None, *active):
        members = _all_for(viewer, admitted)
        wanted.add(members)
        last = store.releases.seen_by(viewer).last()
        if members and (last is None or last.concepts != dict(members)):
            found.add(members)
    found |= {members for members in wanted if any(less < members for less in found)}
    in_order = sorted(found, key=lambda members: (len(members), sorted(members)))
    return Due(tuple(in_order), _leaving(concepts, recorded(ledgers)))


def _all_for(viewer: Viewer, admitted: list[Concept]) -> Members:
    return frozenset((one.name, one.sha256) for one in admitted if one.is_for(viewer))


def _leaving(concepts: list[Concept], found: Mapping[str, str]) -> frozenset[str]:
    names = {concept.name for concept in concepts if concept.state is State.ADMITTED}
    withdrawn = {concept.sha256 for concept in concepts if concept.state is State.WITHDRAWN}
    return frozenset(
        name for name, digest in found.items() if name not in names or digest in withdrawn
    )


def recorded(ledgers: Path) -> dict[str, str]:
    """Name and digest of each concept in the ledgers."""
    entries = [ledger.get("concepts", {}) for ledger in _ledgers(ledgers)]
    return {name: entry["sha256"] for each in entries for name, entry in each.items()}


def receipts(ledgers: Path) -> list[Removal]:
    """Of every removal from the ledgers."""
    found = (receipt for ledger in _ledgers(ledgers) for receipt in ledger.get("receipts", ()))
    return [
        Removal(
            sha256=receipt["sha256"],
            remaining=len(receipt["remaining"]),
            remaining_sha256=receipt["remaining_sha256"],
            largest_difference=receipt["largest_difference"],
            at=datetime.now(UTC),
        )
        for receipt in found
    ]


def _ledgers(folder: Path) -> list[dict[str, Any]]:
    """What they say of themselves; read here, for the fusion's own modules load torch."""
    found = []
    for file in folder.glob("*/ledger.json"):
        try:
            found.append(json.loads(file.read_bytes()))
        except (OSError, ValueError):  # the fusion says so, and gives it up
            continue
    return found
