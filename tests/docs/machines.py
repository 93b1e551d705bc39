"""Machines that blocks are typed on: a shell with a home of its own, programs that it leaves running."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

from tests.stage.waiting import eventually

SECONDS = 900.0
"""For one block, on a busy machine."""
PATH = (str(Path(sys.executable).parent), os.environ["PATH"])
OURS = ("FEDSHOW_", "HF_", "AWS_")
"""Beginnings of variables that would decide what blocks do."""


@dataclass
class Ended:
    """What a block printed, on both streams as on a terminal, and its exit status."""

    code: int
    printed: str


@dataclass
class Machine:
    """Where somebody types: what one block exports, the next one knows."""

    home: Path
    """The home folder, in which everything is typed."""
    before: Sequence[str] = ()
    """What to put before a command so that it runs there: `ip netns exec NAME`."""
    programs: Path = Path(sys.executable).parent
    """Where `fedshow`, `python` and their like are."""
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def type(self, text: str) -> Ended:
        """Runs a block to its end."""
        keep = f"trap 'declare -px > {self._exported}' EXIT"
        script = f"set -eo pipefail\n. {self._exported}\n{keep}\n{text}"
        done = subprocess.run(
            [*self.before, "bash", "-c", script],
            cwd=self.home,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(errors="replace"))

    def leave_running(self, text: str, awaited: str) -> Ended:
        """Starts a program, until `end`; what it printed when it had printed `awaited`."""
        log = self.home.with_suffix(f".{len(self._running)}.log")
        with log.open("wb") as output:
            program = subprocess.Popen(
                [*self.before, "bash", "-c", f". {self._exported}\nexec {text}"],
                cwd=self.home,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._running.append(program)

        def ready() -> bool:
            return shows(f"…\n{awaited}…\n…", log.read_text()) or program.poll() is not None

        eventually(ready, SECONDS)
        return Ended(program.poll() or 0, log.read_text())

    def end(self) -> None:
        """Ends what was left running, as Ctrl-C does."""
        for program in reversed(self._running):
            program.terminate()
        for program in self._running:
            try:
                program.wait(60)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()

    @property
    def _exported(self) -> Path:
        """What blocks before have exported, as a shell reads it."""
        found = self.home.with_suffix(".exported")
        found.touch()
        return found

    def _environment(self) -> dict[str, str]:
        plain = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
        return plain | {
            "HOME": str(self.home),
            "PATH": os.pathsep.join((str(self.programs), *PATH)),
            "PYTHONUNBUFFERED": "1",
            "FEDSHOW_THREADS": "1",
        }


def shows(wanted: str, printed: str) -> bool:
    """Whether this was printed; `…` stands for anything in its line, alone in a line for any lines.

    How wide a table's columns are, does not matter.
    """
    pattern = "\n".join(map(_line, _narrow(wanted)))
    pattern = pattern.replace("\n\0", r"(?:\n[^\n]*)*").replace("\0\n", r"(?:[^\n]*\n)*")
    pattern = pattern.replace("\0", "[^\0]*")
    return re.fullmatch(pattern, "\n".join(_narrow(printed))) is not None


def shows_in_any_order(wanted: str, printed: str) -> bool:
    """Whether these lines were printed, whichever came first; for a few lines."""
    return any(shows("\n".join(lines), printed) for lines in permutations(wanted.splitlines()))


def _narrow(text: str) -> list[str]:
    return [re.sub(" {2,}", "  ", line.rstrip()) for line in text.strip("\n").splitlines()]


def _line(line: str) -> str:
    if line.strip() == "…":
        return "\0"
    return "[^\n]*".join(map(re.escape, line.split("…")))
