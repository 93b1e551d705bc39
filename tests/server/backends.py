"""PostgreSQL and an S3 server, real ones on loopback, for the tests that ask for them."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from secrets import token_hex

import httpx
import pytest

from tests.stage.postgres import Postgres, programs
from tests.stage.waiting import PATIENCE_SECONDS, free_port


@pytest.fixture(scope="session")
def postgres():
    """A running PostgreSQL; skips the test where Debian's package is not installed."""
    if programs() is None:
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
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
