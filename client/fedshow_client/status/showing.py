"""The status for people: a few lines and a table."""

import time
from collections.abc import Iterable, Iterator
from itertools import pairwise

from fedshow.commands.output import print_table
from fedshow_client.status.facts import (
    ClientStatus,
    ConceptStatus,
    CopyStatus,
    ServerStatus,
)

HEAD = ("concept", "class", "server", "priority", "state", "steps", "rate", "left", "ready in")
UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
HINTS = {
    "failed": "fedshow client retry {}",
    "held": "fedshow client withdraw {}",
    "refused": "fedshow client withdraw {}",
}


def show(found: ClientStatus) -> None:
    """On stdout; of concepts that were added several times only the newest."""
    running = f"runs ({found.daemon})" if found.daemon else "does not run"
    print(f"daemon {running}; home {found.home}")
    for server in found.servers:
        print(f"server {server.name} at {server.address}, {server.role}: {_contact(server)}")
        if server.signing_key is None:
            print("  its signatures cannot be checked: join it again to learn its key")
        if release := server.release:
            print(f"  newest release {release.id}: {', '.join(release.concepts)}")
        if server.withdrawn:
            print("  no newest release now: what it held was withdrawn")
        if server.kept and (server.release or server.kept.trouble):
            print(f"  copy in {server.kept.folder}: {_copy(server, server.kept)}")
    print(_queue(found))
    if concepts := newest(found.concepts):
        print_table(HEAD, map(_row, concepts))
        for line in _reasons(concepts):
            print(line)


def duration(seconds: float) -> str:
    """A time span as people say it, in its two largest units."""
    whole = round(seconds)
    for (unit, size), (smaller, part) in pairwise(UNITS):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return f"{whole} s"


def _queue(found: ClientStatus) -> str:
    waiting = [concept for concept in found.concepts if concept.state in ("tuning", "queued")]
    if found.paused:
        return f"queue paused with {len(waiting)} to tune: fedshow client resume"
    if not waiting:
        return "queue empty"
    paused = sum(concept.paused for concept in waiting)
    counts = f"{len(waiting)} to tune" + (f", {paused} of them paused" if paused else "")
    eta = "" if found.eta_seconds is None else f", ready in about {duration(found.eta_seconds)}"
    return f"queue: {counts}{eta}"


def newest(concepts: Iterable[ConceptStatus]) -> list[ConceptStatus]:
    """Of concepts that were added several times the last one."""
    last: dict[tuple[str, str], int] = {}
    for concept in concepts:
        key = concept.server, concept.name
        last[key] = max(last.get(key, 0), concept.job)
    return [concept for concept in concepts if last[concept.server, concept.name] == concept.job]


def _row(concept: ConceptStatus) -> tuple[object, ...]:
    state: str = concept.state
    if concept.paused:
        state = "pausing" if state == "tuning" else "paused"
    return (
        concept.name,
        concept.class_word,
        concept.server,
        concept.priority,
        state,
        f"{concept.step}/{concept.steps}" if concept.steps else "",
        f"{concept.rate:.3g}/s" if concept.rate else "",
        "" if concept.seconds_left is None else duration(concept.seconds_left),
        "" if concept.eta_seconds is None else duration(concept.eta_seconds),
    )


def _reasons(concepts: Iterable[ConceptStatus]) -> Iterator[str]:
    """Why concepts failed or wait, and what can be done."""
    for concept in filter(lambda concept: concept.reason, concepts):
        hint = HINTS.get(concept.state, "").format(concept.name)
        if concept.not_before > time.time():
            hint = f"next try in {duration(concept.not_before - time.time())}"
        yield f"{concept.name}: {concept.reason}" + (f" ({hint})" if hint else "")


def _copy(server: ServerStatus, kept: CopyStatus) -> str:
    if kept.trouble:
        return f"not the newest: {kept.trouble}"
    newest = server.release and server.release.id == kept.release
    return "the newest" if newest else "being fetched"


def _contact(server: ServerStatus) -> str:
    since = f"reached {duration(time.time() - server.reached)} ago" if server.reached else ""
    if server.trouble:
        return f"{server.trouble} ({since})" if since else server.trouble
    return since or "not reached yet"
