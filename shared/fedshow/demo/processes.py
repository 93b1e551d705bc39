"""`fedshow` commands as child processes, each with its own home and its own log."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedshow.errors import FedshowError, last_line
from fedshow.files import tail

STOP_SECONDS = 30
OWNERS = ("FEDSHOW_SERVER_", "FEDSHOW_CLIENT_")
"""What variables of somebody's own server and client begin with, in capitals or not."""


def environment(home: Path | None = None) -> dict[str, str]:
    """The environment of a child: this one, with the home of one client.

    Nothing in it leads to the database, content or name of a server that somebody really has.
    """
    found = {name: value for name, value in os.environ.items() if not _is_owners(name)}
    found["PYTHONUNBUFFERED"] = "1"
    return found | {"FEDSHOW_HOME": str(home)} if home else found


def _is_owners(name: str) -> bool:
    return name.upper().startswith(OWNERS)


def call(*arguments: str, home: Path | None = None) -> Any:
    """Runs one command with --json and returns what it printed; raises FedshowError with its reason."""
    done = subprocess.run(
        [sys.executable, "-m", "fedshow.cli", *arguments, "--json"],
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = last_line(done.stderr) or "no reason given"
        raise FedshowError(f"fedshow {' '.join(arguments[:2])} failed: {reason}")
    return json.loads(done.stdout)


class Background:
    """Long-running commands that end when the demo ends."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *arguments: str, home: Path | None = None) -> None:
        """Starts a command; its output goes to LOGS/name.log."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.log").open("wb") as log:
            self._children[name] = subprocess.Popen(
                [sys.executable, "-m", "fedshow.cli", *arguments],
                env=environment(home),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raises FedshowError with the end of its log when a command has ended by itself."""
        for name, child in self._children.items():
            if child.poll() is not None:
                said = last_line(tail(self.logs / f"{name}.log"))
                raise FedshowError(f"{name} ended early: {said or 'no output'}")

    def stop(self) -> None:
        """Asks every command to end, and insists after a while."""
        for child in reversed(self._children.values()):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in reversed(self._children.values()):
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
        self._children.clear()


@contextmanager
def background(logs: Path) -> Iterator[Background]:
    """Commands that all end with the block."""
    commands = Background(logs)
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield commands
    finally:
        commands.stop()
        signal.signal(signal.SIGTERM, before)
