"""A federation at work: a server on PostgreSQL, clients that tune, and somebody who downloads."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from sqlalchemy.exc import OperationalError

from benchmarks.private_folder import person
from fedshow.demo.processes import call, environment
from fedshow.errors import FedshowError
from fedshow.releases import verify_release
from fedshow_server.folder import DataFolder
from tests.stage.service import Service
from tests.stage.waiting import eventually, free_port

APPLICATION = "fedshow-server"
"""What the server's connections are called in the database."""
STEPS = 20
"""Of tuning: a concept need not be good to be lost."""
SERVER = "127.0.0.1"
PAUSE_SECONDS = 3.0


class Downloader:
    """Pulls the newest release into a new folder, again and again; a pull that dies is taken up."""

    def __init__(self, home: Path, folder: Path) -> None:
        folder.mkdir()
        self._home, self._folder = home, folder
        self._stop = Event()
        self._process: subprocess.Popen[bytes] | None = None
        self.pulled: set[str] = set()
        """Releases that came whole."""
        self.damaged: list[str] = []
        self._thread = Thread(target=self._run, name="downloader")
        self._thread.start()

    def under_way(self) -> list[int]:
        """The process of a download of which some bytes are here and some are not."""
        parts = [file for file in self._folder.rglob("*.part") if file.is_file()]
        process = self._process
        here = process is not None and process.poll() is None and parts
        return [process.pid] if here and process else []

    def stop(self) -> None:
        """Ends after the pull that is under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        out = self._folder / "0"
        while not self._stop.is_set():
            if self._pull(out):
                self._look_at(out)
                shutil.rmtree(out)
            self._stop.wait(PAUSE_SECONDS)

    def _pull(self, out: Path) -> bool:
        command = (sys.executable, "-m", "fedshow.cli", "pull", SERVER, "-o", str(out))
        with (self._folder / "pull.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment(self._home), stdout=log, stderr=log
            )
        return self._process.wait() == 0

    def _look_at(self, out: Path) -> None:
        try:
            self.pulled.add(verify_release(out).release)
        except FedshowError as error:
            self.damaged.append(str(error))


@dataclass
class Working:
    """The federation, while it runs."""

    folder: Path
    database: str
    server: Service
    daemons: list[Service] = field(default_factory=list)
    homes: list[Path] = field(default_factory=list)
    downloader: Downloader = field(init=False)

    @property
    def data(self) -> Path:
        """The server's folder."""
        return self.folder / "server"

    def invite(self, name: str, *options: str) -> Path:
        """The home of a new node that joined."""
        code = call("server", "invite", name, *options, "--data", str(self.data))["code"]
        home = self.folder / name
        call("client", "join", code, home=home)
        return home

    def bring(self, client: int, character: str) -> None:
        """Queues a concept at a client."""
        someone = person(character, self.folder / "people")
        words = ("--name", character, "--class", someone.class_word, "--steps", str(STEPS))
        call("client", "add", str(someone.images), *words, home=self.homes[client])

    def releases(self) -> dict[str, set[str]]:
        """Names of the concepts of each release, newest last."""
        store = DataFolder(self.data).open_store()
        try:
            return {release.id: set(release.concepts) for release in reversed(store.releases.all())}
        finally:
            store.close()

    def latest(self) -> set[str]:
        """Names of the concepts in the newest release; nothing while the database is away."""
        try:
            return next(reversed(self.releases().values()), set())
        except OperationalError:
            return set()

    def states(self) -> dict[str, str]:
        """What each client says of its concepts."""
        told = (call("client", "status", home=home)["concepts"] for home in self.homes)
        return {concept["name"]: concept["state"] for some in told for concept in some}

    def audit(self) -> str:
        """What is wrong with the audit log; empty when nothing is."""
        try:
            call("server", "audit", "verify", "--data", str(self.data))
        except FedshowError as error:
            return str(error)
        return ""

    def final(self) -> Path:
        """The newest release, pulled and verified."""
        out = self.folder / "final"
        call("pull", SERVER, "-o", str(out), home=self.folder / "dora")
        verify_release(out)
        return out

    def stop(self) -> None:
        """Ends everything in order."""
        self.downloader.stop()
        for service in (*self.daemons, self.server):
            service.stop()


@contextmanager
def working(folder: Path, database: str, clients: int) -> Iterator[Working]:
    """A federation in which everybody has joined; ends with the block."""
    folder.mkdir(parents=True)
    found = Working(folder, database, _server(folder, database))
    try:
        eventually(lambda: _answers(found))
        found.downloader = Downloader(
            found.invite("dora", "--role", "downloader"), folder / "pulls"
        )
        for number in range(clients):
            home = found.invite(f"client-{number}")
            found.homes.append(home)
            found.daemons.append(_daemon(home))
        yield found
    finally:
        found.stop()


def _server(folder: Path, database: str) -> Service:
    command = (
        *(sys.executable, "-m", "fedshow.cli", "server", "run"),
        *("--data", str(folder / "server"), "--base", "toyworld", "--quiet-seconds", "2"),
        *("--sample-steps", "0"),
        *("--listen", f"{SERVER}:{free_port()}", "--grpc-listen", f"{SERVER}:{free_port()}"),
    )
    settings = {"FEDSHOW_SERVER_DATABASE": database, "PGAPPNAME": APPLICATION}
    return Service(command, folder / "server.log", settings)


def _daemon(home: Path) -> Service:
    command = (sys.executable, "-m", "fedshow.cli", "client", "run")
    return Service(command, home / "daemon.log", {"FEDSHOW_HOME": str(home)})


def _answers(federation: Working) -> bool:
    try:
        call("server", "nodes", "--data", str(federation.data))
    except FedshowError:
        return False
    return True
