"""Where the client keeps things: one private folder, FEDSHOW_HOME."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedshow.errors import InvalidInput
from fedshow.locks import claimed, locked
from fedshow.transfer.servers import private_folder
from fedshow_client.job_folder import JobFolder


def holder_name(pid: int) -> str:
    """What the daemon with this process id calls itself in leases."""
    return f"daemon {pid}"


@dataclass(frozen=True)
class Home:
    """The home folder and the places in it."""

    folder: Path

    @property
    def database(self) -> Path:
        """The queue and what is known of servers and releases."""
        return self.folder / "client.db"

    @property
    def lock(self) -> Path:
        """Held by the daemon while it runs; contains its process id."""
        return self.folder / "daemon.lock"

    def outbox(self, server: str) -> Path:
        """Finished concept files for one server, named by digest; nothing else may lie here."""
        return self.folder / "outbox" / server

    def concept_file(self, server: str, sha256: str) -> Path:
        """The concept file with this digest in a server's outbox."""
        return self.outbox(server) / f"{sha256}.safetensors"

    def job(self, job_id: int) -> JobFolder:
        """Everything that belongs to one tuning job but its images."""
        return JobFolder(self.folder / "jobs" / str(job_id))

    def forget_job(self, job_id: int) -> None:
        """Deletes everything that one tuning job has left; the images lie elsewhere."""
        shutil.rmtree(self.job(job_id).path, ignore_errors=True)

    def flower(self, server: str) -> Path:
        """What Flower's programs keep for one server."""
        return self.folder / "flower" / server

    def log(self, name: str) -> Path:
        """A child's log."""
        return private_folder(self.folder / "logs") / f"{name}.log"

    @property
    def page(self) -> Path:
        """What opens the page that the daemon serves, and where it is."""
        return self.folder / "page"

    def make(self) -> None:
        """Makes the folder, closed to everybody else."""
        private_folder(self.folder)

    def daemon_pid(self) -> int | None:
        """The running daemon's process id."""
        try:
            with self.lock.open() as file:
                return None if locked(file, shared=True) else int(self.lock.read_text() or 0)
        except FileNotFoundError:
            return None

    @contextmanager
    def one_daemon(self) -> Iterator[None]:
        """Inside, this process is the only daemon of this home; raises InvalidInput if not."""
        self.make()
        with self.lock.open("a+") as file:
            if not claimed(file):
                pid = self.lock.read_text()
                raise InvalidInput(f"a daemon already runs for {self.folder}: process {pid}")
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield
