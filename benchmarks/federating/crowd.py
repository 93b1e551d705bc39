"""A crowd: hundreds of nodes join, come online and offer a concept at once; then dozens download.

The server is the real one with its real fusion, which only records less of each concept than it usually does;
the nodes are light (`light_nodes`), and each has a key, a token and an outbox of its own.
"""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.federating.concepts import concept_file, header_of
from benchmarks.federating.downloads import measure_downloads
from benchmarks.federating.memory import Memory
from benchmarks.federating.size import Size
from fedshow import rpc
from fedshow.errors import Unreachable
from fedshow.families.card import BaseCard
from fedshow.families.opening import describe
from fedshow.v1 import concepts_pb2 as pb
from fedshow_server.store import State
from tests.stage.concepts import make_data
from tests.stage.member import Member
from tests.stage.server import Server
from tests.stage.waiting import eventually

BASE = "toyworld"
QUICK = Path(__file__).parent / "quick"
OPTIONS = ("--base", BASE, "--quiet-seconds", "5")
PATIENCE_SECONDS = 900.0
"""So long nothing may change before the rest counts as lost."""

POLL_SECONDS = 1.0
SETTLED_SECONDS = 10.0
JOINING_AT_ONCE = 4
OFFERING_AT_ONCE = 50
SHARES = {"quarter": 4, "half": 2, "all": 1}


def measure(work: Path, size: Size, patience_seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
    """Everything a crowd does, one after the other, with the server's memory at every step."""
    card = describe(BASE)
    server = Server(
        make_data(work / "data", card, BASE), {"PYTHONPATH": str(QUICK)}, options=OPTIONS
    )
    server.start()
    assert server.process is not None
    try:
        with Memory(server.process.pid) as memory:
            crowd = Crowd(server, card, memory, work / "nodes", patience_seconds)
            with crowd.gathered(size.clients):
                crowd.offer()
                crowd.wait_for_fusion()
            crowd.download(work / "downloads", size.downloads, size.seed)
        return crowd.figures() | {"server_peak_megabytes": memory.peak}
    finally:
        server.end()


@dataclass
class Crowd:
    """Nodes of one server, and what is measured of them."""

    server: Server
    card: BaseCard
    memory: Memory
    folder: Path
    patience_seconds: float
    members: list[Member] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    offered_again: list[int] = field(default_factory=list)

    @contextmanager
    def gathered(self, count: int) -> Iterator[None]:
        """Inside, that many nodes are online; they come in three parts."""
        processes: list[subprocess.Popen[str]] = []
        joining = 0.0
        try:
            for share, divisor in SHARES.items():
                numbers = range(len(self.members), count // divisor)
                started = time.monotonic()
                with ThreadPoolExecutor(JOINING_AT_ONCE) as threads:
                    fresh = list(threads.map(self._join, numbers))
                joining += time.monotonic() - started
                self.members += fresh
                if fresh:
                    processes.append(self._start(fresh))
                    _wait_until_online(processes[-1], fresh)
                time.sleep(2 * POLL_SECONDS)
                self.found[f"megabytes_online_{share}"] = self.memory.most_since()
            self.found |= {"joined": len(self.members), "seconds_to_join": joining}
            yield
        finally:
            for process in processes:
                process.kill()
                process.communicate()

    def _join(self, number: int) -> Member:
        name = f"n{number:04d}"
        folder = self.folder / name
        folder.mkdir(parents=True)
        member = Member.redeem(self.server, self.server.invite(name), folder)
        member.keep_key()
        member.put(concept_file(number, self.card))
        return member

    def _start(self, members: Sequence[Member]) -> "subprocess.Popen[str]":
        """The process of these nodes."""
        address, ca = f"127.0.0.1:{self.server.port}", self.server.data / "ca" / "ca.pem"
        command = [sys.executable, "-m", "benchmarks.federating.light_nodes", address, str(ca)]
        with (self.folder / f"{len(self.members)}.log").open("wb") as log:
            return subprocess.Popen(
                [*command, *(str(member.folder) for member in members)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def offer(self) -> None:
        """All concepts at once, until all are taken in, or nothing has happened for too long."""
        started = time.monotonic()
        with ThreadPoolExecutor(OFFERING_AT_ONCE) as threads:
            list(threads.map(self._submit, range(len(self.members))))
        states: Counter[State] = Counter()
        for states in self._changes(self._states):
            for share, divisor in SHARES.items():
                reached = states[State.ADMITTED] >= len(self.members) // divisor
                if reached and (key := f"megabytes_taken_{share}") not in self.found:
                    self.found[key] = self.memory.most_since()
            if not states[State.WANTED]:
                break
        self.found["seconds_to_take_in"] = time.monotonic() - started

    def _submit(self, number: int) -> None:
        header, blob = header_of(number, self.card), concept_file(number, self.card)
        request = pb.SubmitConceptRequest(
            name=header.name,
            class_word=header.class_word,
            sha256=sha256(blob).hexdigest(),
            size_bytes=len(blob),
            base_sha256=self.card.sha256,
        )
        eventually(lambda: self._offered(number, request))  # as the client's daemon does

    def _offered(self, number: int, request: pb.SubmitConceptRequest) -> bool:
        """Whether the server answered; what it cannot take now is counted, and offered again."""
        try:
            with self.members[number].calls() as calls, rpc.typed_errors():
                calls.concepts.SubmitConcept(request, timeout=300, wait_for_ready=True)
        except Unreachable:
            self.offered_again.append(number)
            return False
        return True

    def _states(self) -> Counter[State]:
        return Counter(concept.state for concept in self.server.concepts())

    def wait_for_fusion(self) -> None:
        """Until a release has every concept that was admitted, or nothing happens any more."""
        started = time.monotonic()
        for fused, admitted, _ in self._changes(self._progress):
            if fused == admitted:
                break
        self.found["megabytes_fusing"] = self.memory.most_since()
        self.found["seconds_to_fuse"] = time.monotonic() - started

    def _progress(self) -> tuple[int, int, int]:
        """Concepts in the release, admitted ones, and how much the fusion worker has said."""
        log = self.server.data / "logs" / "fusing.log"
        said = log.stat().st_size if log.exists() else 0
        return len(self._released()), self._states()[State.ADMITTED], said

    def _released(self) -> dict[str, str]:
        last = self.server.last_release()
        return last.concepts if last else {}

    def _changes(self, look: Callable[[], Any]) -> Iterator[Any]:
        """What is seen, until it has been the same for too long."""
        seen, since = look(), time.monotonic()
        yield seen
        while time.monotonic() - since < self.patience_seconds:
            time.sleep(POLL_SECONDS)
            if (now := look()) != seen:
                seen, since = now, time.monotonic()
            yield seen

    def download(self, work: Path, count: int, seed: int) -> None:
        """The release to the first members, all at once."""
        last = self.server.last_release()
        assert last is not None, "nothing was released: see the server's logs"
        known = [member.known(self.server) for member in self.members[:count]]
        time.sleep(SETTLED_SECONDS)  # the fusion worker is gone
        self.memory.most_since()
        started = time.monotonic()
        self.found |= measure_downloads(known, last.id, work, seed)
        self.found["seconds_to_download"] = time.monotonic() - started
        self.found["megabytes_downloading"] = self.memory.most_since()

    def figures(self) -> dict[str, Any]:
        """All of it; a client counts when its concept went all the way into the release."""
        released = set(self._released().values())
        concepts = self.server.concepts()
        stuck = [one for one in concepts if one.sha256 not in released]
        grown = self.found["megabytes_online_all"] - self.found["megabytes_online_quarter"]
        more = len(self.members) - len(self.members) // SHARES["quarter"]
        return self.found | {
            "clients": len(self.members) - len(stuck),
            "fused": len(released),
            "offered_again": len(self.offered_again),
            "left_out": [f"{one.name}: {one.state} {one.reason}".strip() for one in stuck],
            "kilobytes_a_client": grown / more * 1024,
            "megabytes_by_process": self.memory.peaks,
        }


def _wait_until_online(process: "subprocess.Popen[str]", members: Sequence[Member]) -> None:
    assert process.stdout is not None
    online = {process.stdout.readline().strip() for _ in members}
    assert online == {member.folder.name for member in members}, f"online are {online}"
