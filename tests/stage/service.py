"""Programs that are kept running: whatever ends one, it is started again, as by systemd."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event, Thread

from tests.stage.waiting import PATIENCE_SECONDS

PAUSE_SECONDS = 1.0
"""Before it is started again."""


class Service:
    """A command with `Restart=always`; its output goes to a log."""

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command, self._log = command, log
        self._environment = {**os.environ, **(environment or {})}
        self._stop = Event()
        self._starts = 0
        self._process = self._start()
        self._thread = Thread(target=self._keep, name=log.stem)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The process that runs now, or ran last."""
        return self._process.pid

    @property
    def restarts(self) -> int:
        """How often it had to be started again."""
        return self._starts - 1

    def stop(self) -> None:
        """Ends it in order, for good; insists after a while."""
        self._stop.set()
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._thread.join()

    def _start(self) -> subprocess.Popen[bytes]:
        self._starts += 1
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
            )

    def _keep(self) -> None:
        while True:
            self._process.wait()
            if self._stop.wait(PAUSE_SECONDS):
                return
            self._process = self._start()
            if self._stop.is_set():  # it came just now, and this one has not heard of it
                self._process.terminate()
