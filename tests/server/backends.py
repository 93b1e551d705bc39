"""PostgreSQL and an S3 server, real ones on loopback, for the tests that ask for them."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from pwd import getpwnam
from secrets import token_hex

import httpx
import pytest

PATIENCE_SECONDS = 120
UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Postgres:
    """A PostgreSQL of its own in a temporary folder."""

    programs: Path
    folder: Path
    port: int

    @classmethod
    def make(cls) -> "Postgres":
        """An empty one; skips the test where Debian's package is not installed."""
        programs = _programs()
        folder = Path(tempfile.mkdtemp(prefix="fedshow-postgres-"))
        if os.geteuid() == 0:
            os.chown(folder, getpwnam(UNPRIVILEGED).pw_uid, -1)
        made = cls(programs, folder, free_port())
        made._run("initdb", "--username=fedshow", "--auth=trust", "--no-sync", "--pgdata=data")
        return made

    def start(self) -> None:
        """Starts it and waits until it takes connections."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off "
            f"-c unix_socket_directories='{self.folder}'"
        )
        self._run("pg_ctl", "start", "-w", "-D", "data", "-l", "log", "-o", options)

    def stop(self) -> None:
        """Ends it at once, with all connections."""
        self._run("pg_ctl", "stop", "-w", "-D", "data", "-m", "immediate")

    def remove(self) -> None:
        """Stops it and takes everything away."""
        self.stop()
        shutil.rmtree(self.folder)

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"t{token_hex(6)}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "fedshow", name)
        return f"postgresql://fedshow@127.0.0.1:{self.port}/{name}"

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


def _programs() -> Path:
    """Debian keeps them beside the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if named := shutil.which("initdb"):
        found.append(Path(named).resolve())
    if not found:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    return found[-1].parent


@pytest.fixture(scope="session")
def postgres():
    """A running PostgreSQL."""
    found = Postgres.make()
    found.start()
    yield found
    found.remove()


@dataclass
class S3:
    """moto's S3 server with one bucket."""

    address: str
    bucket: str = "fedshow-test"

    def new_prefix(self) -> str:
        """The URL of an empty place."""
        return f"s3://{self.bucket}/{token_hex(6)}"

    @property
    def environment(self) -> dict[str, str]:
        """What the AWS tools have to be told."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@pytest.fixture(scope="session")
def _s3_server():
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    found = S3(f"http://127.0.0.1:{port}")
    until = time.monotonic() + PATIENCE_SECONDS
    while not _has_bucket(found):
        assert process.poll() is None, "moto's server ended by itself"
        assert time.monotonic() < until, "moto's server does not answer"
        time.sleep(0.2)
    yield found
    process.terminate()
    process.wait(PATIENCE_SECONDS)


def _has_bucket(s3: S3) -> bool:
    try:
        return httpx.put(f"{s3.address}/{s3.bucket}", timeout=10).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture
def s3(_s3_server, monkeypatch):
    """A running S3 server that this process, and those it starts, talk to."""
    pytest.importorskip("s3fs", reason="pip install 'fedshow[s3]'")
    for name, value in _s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return _s3_server
