"""The demo from beginning to end."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedshow.demo.federation import sole_concept_file, start_server
from fedshow.demo.folders import Person, draw_images
from fedshow.demo.processes import background, call
from fedshow.errors import InvalidInput
from fedshow.families.locating import locate
from fedshow.releases import verify_release

CAST = (("alice", "gloop"), ("bob", "bolt"))
"""Who takes part, and the held-out character each of them teaches."""

MARKER = ".fedshow-demo"
OURS = ("people", "server", "logs", "release", "average", "grid.png", "report.json")
"""What a demo leaves in its folder; a folder with anything else is never touched."""


@dataclass(frozen=True)
class Demo:
    """What the demo is told."""

    out: Path
    base: str = "toyworld"
    steps: int | None = None
    seeds: int = 1
    joint: int = 8


def run_demo(demo: Demo, say: Callable[[str], None]) -> dict[str, Any]:
    """Runs the main job and leaves grid.png and report.json in `demo.out`; returns the report.

    Raises InvalidInput for a base that is none and a folder that is not an earlier demo's.
    """
    locate(demo.base)  # a base that is none is said before anything is replaced
    started = time.perf_counter()
    people = _prepare(demo)
    with background(demo.out / "logs") as commands:
        federation = start_server(demo.out / "server", commands, demo.base, say)
        for person in people:
            federation.invite(person, demo.steps)
        release = federation.wait_for_release(people)
        say(f"release {release} announced; downloading it as {people[0].node}")
        server = call("client", "status", home=people[0].home)["servers"][0]["name"]
        fused = demo.out / "release"
        call("pull", f"{server}@{release}", "-o", str(fused), home=people[0].home)
    verify_release(fused)
    say("release verified; drawing")
    report = _draw(demo, people, fused)
    report |= {"release": release, "seconds": round(time.perf_counter() - started, 1)}
    (demo.out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    return report


def _prepare(demo: Demo) -> list[Person]:
    """An output folder without leftovers of an earlier demo, and everybody's pictures in it."""
    if demo.out.exists() and any(demo.out.iterdir()):
        if strange := sorted(p.name for p in demo.out.iterdir() if p.name not in (*OURS, MARKER)):
            raise InvalidInput(f"{demo.out} holds {strange[0]}: choose an empty folder with --out")
        if not (demo.out / MARKER).is_file():
            raise InvalidInput(
                f"{demo.out} is not of an earlier demo: choose an empty folder with --out"
            )
        shutil.rmtree(demo.out)
    demo.out.mkdir(parents=True, exist_ok=True)
    (demo.out / MARKER).touch()
    people = people_of(demo.out)
    for seed, person in enumerate(people):
        draw_images(person, seed)
    return people


def people_of(out: Path) -> list[Person]:
    """Everybody who takes part, with their folders in a demo's output folder."""
    return [Person(node, name, out / "people" / node) for node, name in CAST]


def _draw(demo: Demo, people: list[Person], fused: Path) -> dict[str, Any]:
    from fedshow.demo.drawing import Outcome, draw
    from fedshow.sampling.grid import grid

    singles = [sole_concept_file(person) for person in people]
    average = demo.out / "average"
    paths = [str(path) for path in singles]
    call("fuse", *paths, "--base", demo.base, "--method", "average", "-o", str(average))
    outcome = Outcome(people, singles, fused, average, demo.base)
    rows, report = draw(outcome, range(demo.seeds), demo.joint)
    grid(rows).save(demo.out / "grid.png")
    return report | {"concepts": {p.concept: p.class_word for p in people}}
