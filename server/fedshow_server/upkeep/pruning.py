"""What a server keeps although nobody may count on it any more, and deleting it."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fedshow.saying import OnProgress
from fedshow_server.folder import DataFolder
from fedshow_server.samples.current import current_releases
from fedshow_server.store import Concept, Release, Store
from fedshow_server.store.concept_rows import LIVE
from fedshow_server.store.pruning import Freed


@dataclass(frozen=True)
class Prunable:
    """What may be deleted."""

    releases: tuple[Release, ...]
    concepts: tuple[Concept, ...]
    """Those whose file is here."""


def find_prunable(store: Store, older_than: timedelta | None = None) -> Prunable:
    """Releases with withdrawn concepts, older ones that are nobody's latest, and concepts that are out.

    Out are those withdrawn, refused or replaced by a newer one. None: releases are kept however old.
    """
    current = current_releases(store)
    before = None if older_than is None else datetime.now(UTC) - older_than

    def is_spent(release: Release) -> bool:
        is_old = before is not None and release.created < before
        return bool(release.withdrawn) or (is_old and release.id not in current)

    return Prunable(
        tuple(release for release in store.releases.all() if is_spent(release)),
        tuple(
            concept
            for concept in store.concepts.all()
            if concept.state not in LIVE and store.blobs.has(concept.sha256)
        ),
    )


def prune(
    store: Store,
    folder: DataFolder,
    found: Prunable,
    on_progress: OnProgress = lambda _done, _all: None,
) -> Freed:
    """Deletes what was found, but for what somebody came to need since; the server may run meanwhile."""
    files = size = 0
    spent: tuple[Release | Concept, ...] = (*found.releases, *found.concepts)
    take = store.pruning
    for done, one in enumerate(spent, 1):
        if freed := take.release(one) if isinstance(one, Release) else take.concept(one):
            files, size = files + freed.files, size + freed.bytes
            for drawing in freed.drawings:
                shutil.rmtree(folder.drawings / drawing, ignore_errors=True)
        on_progress(done, len(spent))
    return Freed(files, size)
