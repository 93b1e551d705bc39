"""A base from the hub: what is not there fails for good, what cannot be reached is tried again."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from PIL import Image

from fedshow_client.daemon.tune_child import UNREACHABLE
from fedshow_client.daemon.tuner import ENTRY, WRONG_INPUT


class Hub(ThreadingHTTPServer):
    """Answers everything with one status."""

    status = 0


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        if self.server.status == 404:
            self.send_header("x-error-code", "RepoNotFound")
        self.send_header("content-length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def tune(tmp_path: Path) -> Callable[[str], "subprocess.CompletedProcess[str]"]:
    """Tunes on the base of a hub at this address, as the daemon does."""
    for number in range(4):
        Image.new("RGB", (32, 32), (60 * number, 9, 9)).save(tmp_path / f"{number}.png")
    run = f"import {ENTRY.partition(':')[0]} as child; child.main()"
    named = ("--name", "potter", "--class", "man", "--base", "people/model")
    command = ("tune", str(tmp_path), *named, "-o", str(tmp_path / "potter.safetensors"))

    def run_child(address: str) -> "subprocess.CompletedProcess[str]":
        env = {"HF_ENDPOINT": f"http://{address}", "HF_HOME": str(tmp_path / "hub")}
        return subprocess.run(
            [sys.executable, "-c", run, *command],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run_child


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [(404, WRONG_INPUT, "cannot be loaded"), (503, UNREACHABLE, "cannot be fetched now")],
)
def test_the_hubs_answer_decides(hub: Hub, tune, status: int, code: int, words: str) -> None:
    hub.status = status
    done = tune(f"127.0.0.1:{hub.server_port}")
    assert done.returncode == code, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("fedshow: base 'people/model'")
    assert words in last


def test_a_hub_that_does_not_answer_is_asked_again(tune) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound, but nobody listens
        done = tune(f"127.0.0.1:{probe.getsockname()[1]}")
    assert done.returncode == UNREACHABLE, done.stderr
