"""The disk under the data folder: a full one loses what was promised, so room is kept."""

import shutil
from pathlib import Path

from fedshow.errors import Exhausted

RETRY_SECONDS = 600.0


class Disk:
    """How much room there is, and how much must stay."""

    def __init__(self, folder: Path, floor_bytes: int) -> None:
        self._folder = folder
        self._floor_bytes = floor_bytes

    @property
    def free_bytes(self) -> int:
        """Room that is left now."""
        return shutil.disk_usage(self._folder).free

    def room_for(self, size_bytes: int) -> None:
        """Raises Exhausted when keeping so much would leave less than the floor."""
        if problem := self.problem(size_bytes):
            raise Exhausted(f"the server's disk {problem}; try again later", RETRY_SECONDS)

    def problem(self, size_bytes: int = 0) -> str:
        """What is wrong with it for whoever wants to keep so much; empty when nothing is."""
        free = self.free_bytes
        if free - size_bytes >= self._floor_bytes:
            return ""
        return f"is nearly full: {free >> 20} MiB are free, at least {self._floor_bytes >> 20} must stay"
