"""Room: memory of the machine, and free space where fedshow writes."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from fedshow.doctor.finding import Finding, Question, fine, problem, warning

FEW_MEMORY_BYTES = 4 << 30
"""Below this not even the smallest public base is opened comfortably."""

LITTLE_DISK_BYTES = 10 << 30
"""Below this a base and a release may not fit."""

NO_DISK_BYTES = 1 << 30
"""Below this a server takes no more concepts, and a tuning run may end."""

CONTAINERS_LIMIT = Path("/sys/fs/cgroup/memory.max")
CONTAINERS_USE = Path("/sys/fs/cgroup/memory.current")


def check_room(question: Question) -> Iterator[Finding]:
    """Memory, and free space of each folder that fedshow writes to."""
    yield _memory()
    yield room_in("disk of FEDSHOW_HOME", question.home, "move it: export FEDSHOW_HOME=FOLDER")
    if question.base is None or "/" in question.base:
        yield room_in("disk of the hub's cache", hub_cache(), "move it: export HF_HOME=FOLDER")
    temporary = Path(tempfile.gettempdir())
    yield room_in("disk of temporary files", temporary, "move them: export TMPDIR=FOLDER")


def room_in(about: str, folder: Path, advice: str) -> Finding:
    """Whether there is room below `folder`, which may not be there yet, and whether one may write."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(there).free
    facts = {"folder": str(folder), "free_bytes": free}
    says = f"{in_gib(free)} free in {folder}"
    if not os.access(there, os.W_OK | os.X_OK):
        return problem(about, f"{there} is not yours to write", advice, **facts)
    if free < NO_DISK_BYTES:
        return problem(about, says, f"free some, or {advice}", **facts)
    if free < LITTLE_DISK_BYTES:
        return warning(about, says, f"free some, or {advice}", **facts)
    return fine(about, says, **facts)


def hub_cache() -> Path:
    """Where the hub's library keeps what it downloaded."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def in_gib(size_bytes: int) -> str:
    """A size for people."""
    return f"{size_bytes / 2**30:.1f} GiB"


def _memory() -> Finding:
    machine = psutil.virtual_memory()
    total, free = machine.total, machine.available
    if (limit := _number(CONTAINERS_LIMIT)) is not None and limit < total:
        total, free = limit, min(free, max(0, limit - (_number(CONTAINERS_USE) or 0)))
    says = f"{in_gib(free)} of {in_gib(total)} free"
    facts = {"total_bytes": total, "free_bytes": free}
    if free < FEW_MEMORY_BYTES:
        advice = "close other programs, or take a small base: --base toyworld needs 1 GiB"
        return warning("memory", says, advice, **facts)
    return fine("memory", says, **facts)


def _number(file: Path) -> int | None:
    """What a limit of the container says; None where there is none."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
