"""A client behind a bad line: cut for two minutes, or with an uplink of 50 kB/s.

Its daemon lives in a network namespace of its own (Linux, as root); the server fuses with a stand-in.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.federating.size import Size
from fedshow.errors import Damaged
from fedshow.families.card import BaseCard
from fedshow.releases import verify_release
from fedshow.transfer.forms import Form
from fedshow.transfer.servers import find_server
from fedshow_client.home import Home
from fedshow_client.queue import NewJob
from fedshow_server.store import State
from tests.stage.concepts import concept_bytes, make_data
from tests.stage.member import Member
from tests.stage.server import Server
from tests.stage.service import Service
from tests.stage.tuned import keep_tuned
from tests.stage.waiting import eventually

WIDE = BaseCard(
    name="wide",
    sha256="cd" * 32,
    family="sd1",
    slots=2,
    token_dim=4,
    layers={"unet.a": (400_000, 400_000)},
)
"""Its concepts of rank 2 are as large as real ones: 6.4 MB."""
NORMAL = 1e-6
"""Makes the norm of such an adapter that of a real one."""
SERVER, CLIENT = "10.213.77.1", "10.213.77.2"
CUT_SECONDS = 120
CUT_LINE_BYTES = 200_000
SLOW_LINE_BYTES = 50_000
BEHIND = "anna"
HOUR = 3600.0


@dataclass(frozen=True)
class Line:
    """The only way out of a network namespace."""

    namespace: str

    @property
    def inside(self) -> tuple[str, ...]:
        """What to put before a command so that it runs in there."""
        return ("ip", "netns", "exec", self.namespace)

    @property
    def sent(self) -> int:
        """Bytes that the client sent."""
        return int(Path("/sys/class/net/outer/statistics/rx_bytes").read_text())

    def limit(self, bytes_per_second: int) -> None:
        """Slows down what the client sends; a second of it may wait in the modem."""
        _shape(self.inside, "inner", f"{bytes_per_second}bps", burst="16kb", latency="1s")

    def cut(self, seconds: float) -> None:
        """Nothing passes for a while, and nobody is told."""
        ends = ((self.inside, "inner"), ((), "outer"))
        for where, device in ends:
            _shape(where, device, "8bit", burst="1540", latency="1ms")
        time.sleep(seconds)
        for where, device in ends:
            _call(*where, "tc", "qdisc", "del", "dev", device, "root")


def measure(work: Path, size: Size) -> dict[str, Any]:
    """Both lines; `network_lost` counts what did not end as without a fault."""
    del size  # two minutes and 50 kB/s are what is asked for
    slow, cut = behind_slow_uplink(work / "slow"), behind_cut(work / "cut")
    return {**slow, **cut, "network_lost": slow["slow_lost"] + cut["cut_lost"]}


def behind_slow_uplink(work: Path, rate: int = SLOW_LINE_BYTES) -> dict[str, Any]:
    """A concept goes up at `rate`."""
    with _line() as line, _scene(work, line) as scene:
        line.limit(rate)
        started = time.monotonic()
        digest = scene.brings(BEHIND, "potter")
        eventually(lambda: scene.state(digest) is State.ADMITTED, HOUR)
        seconds = time.monotonic() - started
        kept = scene.keeps(BEHIND, {"potter"})
        return {
            "slow_bytes_per_second": rate,
            "slow_upload_seconds": seconds,
            "slow_upload_over_line": seconds * rate / len(_blob("potter")),
            "slow_lost": int(not kept),
        }


def behind_cut(work: Path, seconds: float = CUT_SECONDS) -> dict[str, Any]:
    """The line is cut in the midst of an upload; another client's release comes out meanwhile."""
    with _line() as line, _scene(work, line) as scene:
        line.limit(CUT_LINE_BYTES)
        digest = scene.brings(BEHIND, "potter")
        eventually(lambda: line.sent > len(_blob("potter")) / 2)
        other = scene.brings("bert", "hermione")
        line.cut(seconds)
        mended = time.monotonic()
        eventually(lambda: scene.state(digest) is State.ADMITTED, HOUR)
        admitted = time.monotonic() - mended
        kept = scene.keeps(BEHIND, {"potter", "hermione"})
        return {
            "cut_seconds": seconds,
            "cut_admitted_after_seconds": admitted,
            "cut_kept_after_seconds": time.monotonic() - mended,
            "cut_lost": int(not kept) + int(scene.state(other) is not State.ADMITTED),
        }


@dataclass(frozen=True)
class Scene:
    """A server, and clients: anna behind the line, bert with a good one."""

    work: Path
    server: Server
    line: Line
    daemons: list[Service]

    def home(self, name: str) -> Path:
        """A client's FEDSHOW_HOME."""
        return self.work / name

    def brings(self, name: str, concept: str) -> str:
        """Starts a client's daemon with a concept as if it had been tuned there; its digest."""
        home, job = Home(self.home(name)), NewJob("home", concept, "man", self.work, "wide")
        digest = keep_tuned(home, job, _blob(concept))
        before = self.line.inside if name == BEHIND else ()
        self.daemons.append(_daemon(home.folder, before))
        return digest

    def state(self, digest: str) -> State | None:
        """What the server says of a concept."""
        store = self.server.store()
        try:
            found = {concept.sha256: concept for concept in store.concepts.all()}
            return found[digest].state if digest in found else None
        finally:
            store.close()

    def keeps(self, name: str, concepts: set[str]) -> bool:
        """Whether the client's own copy comes to be a release of these concepts, byte by byte."""
        server = find_server("home", self.home(name))
        copy = server.copy_folder(self.home(name), Form.diffusers)

        def complete() -> bool:
            try:
                manifest = verify_release(copy)
            except Damaged:  # not there yet, or a newer one is moved in just now
                return False
            return {member.name for member in manifest.concepts} == concepts

        return eventually(complete, HOUR)


def _blob(concept: str) -> bytes:
    return concept_bytes(concept, size=NORMAL, card=WIDE)


@contextmanager
def _scene(work: Path, line: Line) -> Iterator[Scene]:
    server = Server(make_data(work / "data", WIDE), host=SERVER)
    server.start()
    scene = Scene(work, server, line, [])
    try:
        for name in (BEHIND, "bert"):
            home = scene.home(name)
            member = Member.redeem(server, server.invite(name), home)
            member.keep(home, server)
            (find_server("home", home).folder(home) / "key").write_bytes(member.private_pem)
        yield scene
    finally:
        for daemon in scene.daemons:
            daemon.stop()
        server.end()


def _daemon(home: Path, before: tuple[str, ...]) -> Service:
    settings = {"FEDSHOW_HOME": str(home), "FEDSHOW_CLIENT_KEEP_RELEASE": "diffusers"}
    command = (*before, sys.executable, "-m", "fedshow.cli", "client", "run")
    return Service(command, home / "daemon.log", settings)


@contextmanager
def _line() -> Iterator[Line]:
    """A namespace with one line to this machine; raises PermissionError unless root."""
    if os.geteuid() != 0:
        raise PermissionError("network namespaces are made by root only")
    line = Line(f"fedshow-{os.getpid()}")
    _call("ip", "netns", "add", line.namespace)
    try:
        peer = ("type", "veth", "peer", "name", "inner", "netns", line.namespace)
        _call("ip", "link", "add", "outer", *peer)
        for where, device, address in (((), "outer", SERVER), (line.inside, "inner", CLIENT)):
            _call(*where, "ip", "addr", "add", f"{address}/24", "dev", device)
            _call(*where, "ip", "link", "set", device, "up")
        _call(*line.inside, "ip", "link", "set", "lo", "up")
        yield line
    finally:
        subprocess.run(("ip", "link", "del", "outer"), check=False, capture_output=True)
        _call("ip", "netns", "del", line.namespace)


def _shape(where: Sequence[str], device: str, rate: str, *, burst: str, latency: str) -> None:
    bucket = ("rate", rate, "burst", burst, "latency", latency)
    _call(*where, "tc", "qdisc", "replace", "dev", device, "root", "tbf", *bucket)


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
