"""How much memory a server's processes take together, sampled while they work."""

from collections import defaultdict
from contextlib import suppress
from threading import Event, Thread
from typing import Self

import psutil

KINDS = ("superlink", "superexec", "serverapp", "fusing")
SERVER = "server"
SECONDS = 2.0


class Memory:
    """Samples a process and its descendants, each page counted once, shared ones by share (PSS)."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._stop = Event()
        self._thread = Thread(target=self._sample)
        self._since: float = 0.0
        self.peak = 0.0
        """Megabytes of all of them together, at most."""
        self.peaks: dict[str, float] = {}
        """Of each kind of process."""

    def most_since(self) -> float:
        """The most since this was asked last, in megabytes."""
        found = max(self._since, self._look())
        self._since = 0.0
        return found

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(SECONDS):
            self._look()

    def _look(self) -> float:
        found: dict[str, float] = defaultdict(float)
        with suppress(psutil.NoSuchProcess):
            for process in (self._process, *self._process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    kind = kind_of(process.cmdline())
                    found[kind] += process.memory_full_info().pss / 2**20
        total = sum(found.values())
        self.peak, self._since = max(self.peak, total), max(self._since, total)
        self.peaks |= {kind: max(most, self.peaks.get(kind, 0.0)) for kind, most in found.items()}
        return total


def kind_of(command: list[str]) -> str:
    """Which of a server's processes this is."""
    program = " ".join(command[:4])
    return next((kind for kind in KINDS if kind in program), SERVER)
