"""A federation of four clients that works while everything in it is killed, over and over.

Every client brings a concept a round: really tuned, handed over, kept in PostgreSQL, fused, announced,
and pulled by a downloader. In each round one process of each kind gets SIGKILL at a random moment (the
database's connections are cut). Services restart as under systemd; nobody helps. The same rounds
without kills say what must come out.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import numpy as np
import psutil
from safetensors.numpy import load_file

from benchmarks.federating.size import Size
from benchmarks.federating.victims import Kind, kinds
from benchmarks.federating.working import Working, working
from fedshow.toyworld.heldout import HELDOUT
from tests.stage.postgres import Postgres
from tests.stage.waiting import eventually

CLIENTS = 4
LONGEST_PAUSE_SECONDS = 20.0
"""From the start of a round until a kill looks for its victim."""
LOOK_SECONDS = 0.02
ROUND_SECONDS = 1800.0
"""Nothing takes so long: what is not there by then will never be."""


@dataclass(frozen=True)
class Outcome:
    """How the rounds ended."""

    release: Path
    """The last one, pulled."""
    concepts: int
    lost: Sequence[str]
    """All that somebody was promised and that is not there."""
    kills: Counter[str]
    restarts: int
    seconds: float


def measure(work: Path, size: Size) -> dict[str, Any]:
    """The same rounds with and without kills, and what differs in the end."""
    postgres = Postgres.make()
    postgres.start()
    try:
        calm = play(work / "calm", postgres.new_database(), size.kills, None)
        hurt = play(work / "hurt", postgres.new_database(), size.kills, Random(size.seed))
    finally:
        postgres.remove()
    lost = [*hurt.lost, *(f"without kills: {one}" for one in calm.lost)]
    return {
        "kills": hurt.kills.total(),
        "kills_of_each": dict(hurt.kills),
        "lost": len(lost),
        "lost_list": lost,
        "fused_difference": difference(calm.release, hurt.release),
        "kills_concepts": hurt.concepts,
        "kills_restarts": hurt.restarts,
        "kills_seconds": hurt.seconds,
        "undisturbed_seconds": calm.seconds,
    }


def play(folder: Path, database: str, rounds: int, rng: Random | None) -> Outcome:
    """Some rounds; with a source of moments, each kind of victim dies once in each."""
    characters = iter(HELDOUT)
    kills: Counter[str] = Counter()
    announced: dict[str, set[str]] = {}
    names: set[str] = set()
    started = time.monotonic()
    with working(folder, database, CLIENTS) as federation:
        for number in range(rounds):
            with _killing(federation, number + 1, kills, rng):
                for client in range(CLIENTS):
                    character = next(characters)
                    federation.bring(client, character)
                    names.add(character)
                eventually(lambda: federation.latest() >= names, ROUND_SECONDS)
            announced |= federation.releases()
        seconds = time.monotonic() - started
        release = federation.final()
        lost = _lost(federation, names, announced)
        restarts = sum(service.restarts for service in (federation.server, *federation.daemons))
    return Outcome(release, len(names), lost, kills, restarts, seconds)


@contextmanager
def _killing(
    federation: Working, due: int, kills: Counter[str], rng: Random | None
) -> Iterator[None]:
    """While inside, victims of each kind die until `due` of it have died."""
    ended = Event()
    found = kinds(federation) if rng is not None else {}
    with ThreadPoolExecutor(max_workers=len(found) or 1) as pool:
        hunts = [
            pool.submit(
                _hunt, partial(_kill_one, kind, Random(rng.random()), ended), name, due, kills
            )
            for name, kind in found.items()
            if rng is not None
        ]
        try:
            yield
        finally:
            ended.set()
    for hunt in hunts:
        hunt.result()


def _hunt(kill_one: Callable[[], bool], name: str, due: int, kills: Counter[str]) -> None:
    while kills[name] < due and kill_one():
        kills[name] += 1


def _kill_one(kind: Kind, rng: Random, ended: Event) -> bool:
    """Hits a victim at a random moment of its life; False when none came before the round ended."""
    ended.wait(rng.uniform(0, LONGEST_PAUSE_SECONDS))
    while not ended.is_set():
        if seen := kind.alive():
            ended.wait(rng.uniform(0, kind.within_seconds))
            if still := [pid for pid in kind.alive() if pid in seen]:
                with suppress(psutil.NoSuchProcess):
                    kind.kill(rng.choice(still))
                    return True
        ended.wait(LOOK_SECONDS)
    return False


def _lost(federation: Working, names: set[str], announced: dict[str, set[str]]) -> list[str]:
    """Everything that was promised and did not hold."""
    states, releases = federation.states(), federation.releases()
    here = next(reversed(releases.values()))
    downloader = federation.downloader
    return [
        *(f"{name} is not in the last release" for name in sorted(names - here)),
        *(f"{name} is {states.get(name)}" for name in names if states.get(name) != "admitted"),
        *(f"release {one} is gone" for one in sorted(announced.keys() - releases.keys())),
        *(f"release {one} is unknown" for one in sorted(downloader.pulled - releases.keys())),
        *(f"download: {damage}" for damage in downloader.damaged),
        *(f"audit log: {problem}" for problem in (federation.audit(),) if problem),
    ]


def difference(one: Path, other: Path) -> float:
    """Largest relative difference (Frobenius) of a tensor of the fused update; inf if names differ."""
    first, second = (load_file(folder / "fused.safetensors") for folder in (one, other))
    if first.keys() != second.keys():
        return float("inf")
    norm = np.linalg.norm
    return max(float(norm(first[name] - second[name]) / norm(first[name])) for name in first)
