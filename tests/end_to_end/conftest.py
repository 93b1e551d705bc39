"""A whole federation of real processes on loopback; concepts may come from noise or from tuning."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fedshow import __version__
from fedshow.families.card import BaseCard
from fedshow.transfer.servers import known_servers
from fedshow_client.home import Home
from fedshow_client.queue import NewJob, Queue
from fedshow_server.folder import DataFolder, DescribedBase
from fedshow_server.releasing.publishing import publish
from fedshow_server.releasing.signing import open_signer
from tests.conftest import BASE, MakeConcept
from tests.stage.tuned import keep_tuned
from tests.stage.waiting import free_port

FEDSHOW = str(Path(sys.executable).with_name("fedshow"))
OWN_BASE = ("--base", BASE) if Path(BASE).is_dir() else ()
"""What a client adds to `join` when the tests run on a base that is not public."""

SECONDS = 400.0
"""For anything that a federation does on a busy machine."""


def wait_for(what: Callable[[], Any], describe: Callable[[], str], seconds: float = SECONDS) -> Any:
    """The first true value of `what`; fails with a description after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, describe()
        time.sleep(0.2)
    return found


@dataclass
class Federation:
    """One server and its clients, each a real process with a folder of its own."""

    folder: Path
    card: BaseCard
    make_concept: MakeConcept
    listen: str = ""
    grpc: str = ""
    server: subprocess.Popen[bytes] = field(init=False)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def data(self) -> DataFolder:
        return DataFolder(self.folder / "server")

    def start_server(self, **env: str) -> subprocess.Popen[bytes]:
        """A server that answers; it does not fuse by itself."""
        if not self.listen:
            self.listen, self.grpc = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.data.make()
        self.data.keep_base(DescribedBase(base=BASE, fedshow=__version__, card=self.card))
        arguments = ["--data", str(self.data.path), "--listen", self.listen, "--base", BASE]
        arguments += ["--grpc-listen", self.grpc, "--quiet-seconds", "3600"]
        arguments += ["--sample-steps", "0"]
        self.server = server = self.start("server", "server", "run", *arguments, **env)
        wait_for(lambda: self._reachable(server), self.logs)
        return server

    def _reachable(self, server: subprocess.Popen[bytes]) -> bool:
        assert server.poll() is None, self.logs()
        for address in (self.listen, self.grpc):
            host, _, port = address.partition(":")
            try:
                socket.create_connection((host, int(port)), 1).close()
            except OSError:
                return False
        return True

    def start(self, log: str, *command: str, **env: str) -> subprocess.Popen[bytes]:
        """A `fedshow` process that keeps running."""
        with (self.folder / f"{log}.log").open("ab") as output:
            process = subprocess.Popen(
                [FEDSHOW, *command],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **env},
            )
        self.processes.append(process)
        return process

    def call(self, *command: str, **env: str) -> str:
        """What a `fedshow` command prints."""
        done = subprocess.run(
            [FEDSHOW, *command],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}\n{self.logs()}"
        return done.stdout

    def invite(self, name: str) -> str:
        """A join code."""
        printed = self.call("server", "invite", name, "--data", str(self.data.path), "--json")
        return str(json.loads(printed)["code"])

    def home(self, name: str) -> Path:
        """A client's FEDSHOW_HOME."""
        return self.folder / name

    def join(self, name: str, code: str) -> None:
        self.call("client", "join", code, *OWN_BASE, FEDSHOW_HOME=str(self.home(name)))

    def offer(self, name: str, concept: str, images: Path = Path("/pictures")) -> None:
        """Puts a concept into a client's queue as if it had been tuned there."""
        made, home = self.make_concept(concept), Home(self.home(name))
        (server,) = known_servers(home.folder)
        job = NewJob(server.name, concept, made.header.class_word, images, BASE)
        keep_tuned(home, job, made.blob)

    def run_client(self, name: str, **env: str) -> subprocess.Popen[bytes]:
        return self.start(name, "client", "run", FEDSHOW_HOME=str(self.home(name)), **env)

    def status(self, name: str) -> dict[str, Any]:
        printed = self.call("client", "status", "--json", FEDSHOW_HOME=str(self.home(name)))
        found: dict[str, Any] = json.loads(printed)
        return found

    def wait_for_state(self, home: Path, concept: str, state: str) -> None:
        """Waits until a client's concept is in this state."""

        def reached() -> bool:
            with Queue(Home(home).database) as queue:
                job = queue.find(concept)
            assert job.state != "failed", job.reason
            return job.state == state

        wait_for(reached, lambda: f"{concept} is not {state}\n{self.logs()}")

    def publish(self, folder: Path) -> None:
        """Makes a release folder the server's latest release."""
        store = self.data.open_store()
        try:
            publish(store, folder, open_signer(self.data.ca))
        finally:
            store.close()

    def wait_for_release(self, home: Path, release: str) -> None:
        """Waits until a client has been told of a release."""

        def told() -> bool:
            with Queue(Home(home).database) as queue:
                (server,) = known_servers(home)
                return any(seen.release == release for seen in queue.releases_seen(server.name))

        wait_for(told, lambda: f"nobody told of {release}\n{self.logs()}")

    def end_process(self, process: subprocess.Popen[bytes]) -> None:
        """Ends one process in order."""
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0, self.logs()

    def logs(self) -> str:
        """The end of every log, for a test that fails."""
        logs = sorted(self.folder.rglob("*.log"))
        ends = (f"== {log}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)
        return "\n".join(ends)

    def end(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def federation(tmp_path: Path, card: BaseCard, make_concept: MakeConcept) -> Iterator[Federation]:
    """A federation whose server runs."""
    made = Federation(tmp_path, card, make_concept)
    try:
        made.start_server()
        yield made
    finally:
        made.end()
