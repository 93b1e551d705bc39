"""A PostgreSQL of our own on loopback."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from pwd import getpwnam
from secrets import token_hex

from tests.stage.waiting import PATIENCE_SECONDS, free_port

UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root
PATIENTLY = ("-w", "-t", str(PATIENCE_SECONDS))


@dataclass
class Postgres:
    """A PostgreSQL of its own in a temporary folder."""

    programs: Path
    folder: Path
    port: int

    @classmethod
    def make(cls) -> "Postgres":
        """An empty one; raises FileNotFoundError where Debian's package is not installed."""
        found = programs()
        if found is None:
            raise FileNotFoundError("no PostgreSQL here: apt-get install postgresql")
        folder = Path(tempfile.mkdtemp(prefix="fedshow-postgres-"))
        if os.geteuid() == 0:
            os.chown(folder, getpwnam(UNPRIVILEGED).pw_uid, -1)
        made = cls(found, folder, free_port())
        made._run("initdb", "--username=fedshow", "--auth=trust", "--no-sync", "--pgdata=data")
        return made

    def start(self) -> None:
        """Starts it and waits until it takes connections."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off "
            f"-c unix_socket_directories='{self.folder}'"
        )
        self._run("pg_ctl", "start", *PATIENTLY, "-D", "data", "-l", "log", "-o", options)

    def stop(self) -> None:
        """Ends it at once, with all connections."""
        self._run("pg_ctl", "stop", *PATIENTLY, "-D", "data", "-m", "immediate")

    def remove(self) -> None:
        """Stops it and takes everything away."""
        self.stop()
        shutil.rmtree(self.folder)

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"t{token_hex(6)}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "fedshow", name)
        return f"postgresql://fedshow@127.0.0.1:{self.port}/{name}"

    def dump(self, database: str) -> Path:
        """A dump of the database with this URL, as docs/operations.md has it made."""
        file = self.folder / f"{token_hex(6)}.dump"
        self._run("pg_dump", "--format=custom", f"--file={file}", database)
        return file

    def restore(self, dump: Path, database: str) -> None:
        """Fills the empty database with this URL."""
        self._run("pg_restore", f"--dbname={database}", str(dump))

    def _run(self, program: str, *arguments: str) -> None:
        user = UNPRIVILEGED if os.geteuid() == 0 else None
        with (self.folder / f"{program}.out").open("ab") as output:
            subprocess.run(
                [self.programs / program, *arguments],
                cwd=self.folder,
                user=user,
                stdout=output,  # a file: the server inherits it and stays
                stderr=output,
                check=True,
                timeout=PATIENCE_SECONDS,
            )


def programs() -> Path | None:
    """Where PostgreSQL's programs lie (Debian keeps them beside the path); None without them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if named := shutil.which("initdb"):
        found.append(Path(named).resolve())
    return found[-1].parent if found else None
