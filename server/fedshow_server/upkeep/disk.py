"""The disks under data folder and content: a full one loses what was promised, so room is kept."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from fedshow.errors import Exhausted

RETRY_SECONDS = 600.0


class Disk:
    """How much room there is, and how much must stay: of several disks, on the fullest.

    A concept needs room on each: Flower keeps what is handed over in the data folder until it is taken.
    """

    def __init__(self, folders: Sequence[Path], floor_bytes: int) -> None:
        self._folders = folders
        self._floor_bytes = floor_bytes

    @property
    def free_bytes(self) -> int:
        """Room that is left now."""
        return min(shutil.disk_usage(folder).free for folder in self._folders)

    def room_for(self, size_bytes: int) -> None:
        """Raises Exhausted when keeping so much would leave less than the floor."""
        if problem := self.problem(size_bytes):
            raise Exhausted(f"the server's disk {problem}; try again later", RETRY_SECONDS)

    def problem(self, size_bytes: int = 0) -> str:
        """What is wrong with it for whoever wants to keep so much; empty when nothing is."""
        free = self.free_bytes
        if free - size_bytes >= self._floor_bytes:
            return ""
        wanted = f", {size_bytes >> 20} are wanted" if size_bytes else ""
        floor = self._floor_bytes >> 20
        return f"is nearly full: {free >> 20} MiB are free{wanted}, at least {floor} must stay"
