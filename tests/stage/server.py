"""`fedshow server run` as a process, with a stand-in for fusing: no torch, no minutes."""

import os
import queue
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx

from fedshow.joining import JoinCode
from fedshow.roles import Role
from fedshow_server.folder import DataFolder
from fedshow_server.store import Concept, Release, Store
from fedshow_server.upkeep.certificates import fingerprint
from tests.stage.processes import children
from tests.stage.waiting import PATIENCE_SECONDS, free_port

STANDIN = Path(__file__).parent / "standin"
SEARCH_PATH = os.pathsep.join(filter(None, (str(STANDIN), os.environ.get("PYTHONPATH"))))
"""The stand-in first, then where the tests' own process looks."""
PATIENT = {  # all tests come from one address
    "FEDSHOW_SERVER_JOINS_PER_MINUTE": "1000000",
    "FEDSHOW_SERVER_WRONG_TOKENS_PER_MINUTE": "1000000",
    "FEDSHOW_SERVER_CALLS_PER_MINUTE": "1000000",
    "FEDSHOW_SERVER_SAMPLE_STEPS": "0",  # that takes torch
}


@dataclass
class Server:
    """`fedshow server run` as a process; can be killed and started again."""

    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    grpc_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it says that it is ready."""
        log = (self.data / "server.log").open("ab")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "fedshow.cli", "server", "run", "--json"),
                *("--data", str(self.data), "--base", "tiny", "--quiet-seconds", "0.5"),
                *("--listen", self.address),
                *("--grpc-listen", f"{self.host}:{self.grpc_port}"),
                *self.options,
            ],
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | {"PYTHONPATH": SEARCH_PATH} | PATIENT | self.environment,
        )
        log.close()
        assert "{" in _first_line(self.process), (self.data / "server.log").read_text()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends the signal and waits for the end."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def store(self) -> Store:
        """The server's store, opened beside it."""
        return DataFolder(self.data).open_store()

    def store_state(self, sha256: str) -> str:
        """What became of a concept."""
        (state,) = (str(found.state) for found in self.concepts() if found.sha256 == sha256)
        return state

    def concepts(self) -> list[Concept]:
        """Everything that was ever offered."""
        store = self.store()
        try:
            return store.concepts.all()
        finally:
            store.close()

    def last_release(self) -> Release | None:
        """The newest."""
        store = self.store()
        try:
            return store.releases.last()
        finally:
            store.close()

    def kill_superlink(self) -> None:
        """SIGKILL for the SuperLink, and nothing else."""
        assert self.process is not None
        (superlink,) = children(self.process.pid, "superlink_process")
        os.kill(superlink, signal.SIGKILL)

    def invite(self, name: str, role: Role = Role.CONTRIBUTOR) -> JoinCode:
        """A join code for a node of that name."""
        store = self.store()
        secret = store.members.invite(name, timedelta(hours=1), role)
        store.close()
        ca_sha256 = fingerprint((self.data / "ca" / "ca.pem").read_bytes())
        return JoinCode(address=self.address, ca_sha256=ca_sha256, secret=secret)

    def revoke(self, name: str) -> None:
        """Cuts a node off, as the owner's command does."""
        store = self.store()
        store.members.revoke(name)
        store.close()

    @contextmanager
    def http(self) -> Iterator[httpx.Client]:
        """An HTTP client that trusts this server only."""
        trust = ssl.create_default_context(cafile=str(self.data / "ca" / "ca.pem"))
        with httpx.Client(
            base_url=f"https://{self.address}", verify=trust, timeout=PATIENCE_SECONDS
        ) as client:
            yield client


def _first_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    output = process.stdout
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: lines.put(output.readline().decode()), daemon=True).start()
    return lines.get(timeout=PATIENCE_SECONDS)
