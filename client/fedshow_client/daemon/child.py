"""A child process on a leash: logged to a file, ended with its parent."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from fedshow.children import environment

GRACE_SECONDS = 15.0
MAX_LOG_BYTES = 4 << 20


class Child:
    """One running `MODULE:FUNCTION` with arguments; its output goes to a log file.

    Locks of the open files in `keep` last as long as the child, also when this process ends before.
    """

    def __init__(
        self,
        entry: str,
        arguments: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        keep: Sequence[IO[str]] = (),
    ) -> None:
        _rotate(log)
        command = [sys.executable, "-P", "-m", "fedshow_client.leash", entry, *arguments]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # the leash
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(env or {}),
                pass_fds=[file.fileno() for file in keep],
                start_new_session=True,  # Ctrl-C reaches the daemon, which then ends it in order
            )

    def wait(self, seconds: float) -> int | None:
        """The exit code (negative: the signal), or None when it still runs after `seconds`."""
        try:
            code: int = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._let_go()
        return code

    def end(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Asks it to end, insists after a while, and returns when it is gone."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._let_go()

    def _let_go(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(log.with_suffix(".old.log"))
