"""One server and its clients on loopback: from private folders to a verified release."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedshow.demo.folders import Person
from fedshow.demo.processes import Background, call
from fedshow.errors import FedshowError
from fedshow.saying import Say

PATIENCE_SECONDS = 1800
LOOK_SECONDS = 2.0
QUIET_SECONDS = 20.0
"""Both concepts are ready at about the same time; one fusion is enough."""


@dataclass(frozen=True)
class Federation:
    """A running server and how to reach it."""

    data: Path
    base: str
    background: Background
    say: Say

    def invite(self, person: Person, steps: int | None) -> None:
        """Lets a person join, queues their concept and starts their daemon."""
        code = call("server", "invite", person.node, "--data", str(self.data))["code"]
        local = ["--base", self.base] if Path(self.base).is_dir() else []
        call("client", "join", code, *local, home=person.home)
        settings = ["--steps", str(steps)] if steps else []
        call(
            *("client", "add", str(person.images), "--name", person.concept),
            *("--class", person.class_word, *settings),
            home=person.home,
        )
        self.background.start(f"client-{person.node}", "client", "run", home=person.home)
        self.say(f"{person.node} joined; <{person.concept}> is tuned from {person.images}")

    def wait_for_release(self, people: Sequence[Person]) -> str:
        """The id of the first release with everybody's concept; raises FedshowError."""
        wanted = {person.concept for person in people}
        until = time.monotonic() + PATIENCE_SECONDS
        last: dict[str, str] = {}
        while time.monotonic() < until:
            self.background.check()
            for person in people:
                self._follow(person, last)
            status = call("client", "status", home=people[0].home)
            release = status["servers"][0]["release"]
            if release and wanted <= set(release["concepts"]):
                return str(release["id"])
            time.sleep(LOOK_SECONDS)
        raise FedshowError(f"no release with {', '.join(sorted(wanted))} in {PATIENCE_SECONDS} s")

    def _follow(self, person: Person, last: dict[str, str]) -> None:
        """Says what became of a person's concept when it has changed."""
        for concept in call("client", "status", home=person.home)["concepts"]:
            name, state = concept["name"], concept["state"]
            if state in ("failed", "held"):
                raise FedshowError(f"<{name}> {state}: {concept['reason']}")
            if last.get(name) != state:
                last[name] = state
                self.say(f"<{name}> of {person.node}: {state}")


def start_server(
    data: Path,
    background: Background,
    base: str,
    say: Say,
    quiet_seconds: float = QUIET_SECONDS,
) -> Federation:
    """A server on free loopback ports, ready to invite."""
    background.start(
        "server",
        *("server", "run", "--data", str(data), "--base", base),
        *("--listen", "127.0.0.1:0", "--quiet-seconds", str(quiet_seconds)),
        *("--sample-steps", "0"),  # nobody looks at them here
    )
    _wait_until_ready(data, background)
    say("server runs")
    return Federation(data, base, background, say)


def _wait_until_ready(data: Path, background: Background) -> None:
    """Returns once the server hands out invitations."""
    until = time.monotonic() + 120
    while True:
        background.check()
        try:
            call("server", "nodes", "--data", str(data))
            return
        except FedshowError:
            if time.monotonic() > until:
                raise
            time.sleep(LOOK_SECONDS)


def sole_concept_file(person: Person) -> Path:
    """The adapter in a person's own outbox: the only thing that left their machine."""
    status: Any = call("client", "status", home=person.home)
    (concept,) = status["concepts"]
    (file,) = (person.home / "outbox").rglob(f"{concept['sha256']}.safetensors")
    return file
