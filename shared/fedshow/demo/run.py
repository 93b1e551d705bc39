"""The demo from beginning to end."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedshow.demo.federation import sole_concept_file, start_server
from fedshow.demo.folders import Person, prepare
from fedshow.demo.processes import background, call
from fedshow.families.locating import locate
from fedshow.releases import verify_release
from fedshow.saying import Say


@dataclass(frozen=True)
class Demo:
    """What the demo is told."""

    out: Path
    base: str = "toyworld"
    steps: int | None = None
    seeds: int = 1
    joint: int = 8


def run_demo(demo: Demo, say: Say) -> dict[str, Any]:
    """Runs the main job and leaves grid.png and report.json in `demo.out`; returns the report.

    Raises InvalidInput for a base that is none and a folder that is not an earlier demo's.
    """
    locate(demo.base)  # a base that is none is said before anything is replaced
    started = time.perf_counter()
    people = prepare(demo.out)
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
