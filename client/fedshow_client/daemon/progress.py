"""How far a tuning job has come, from the file that the tuner writes."""

import json
from dataclasses import dataclass
from pathlib import Path

from fedshow_client.daemon.child import last_line

PROGRESS_NAME = "progress.json"


@dataclass(frozen=True)
class Progress:
    """How far tuning has come."""

    step: int = 0
    steps: int = 0
    seconds: float = 0.0


def read_progress(folder: Path) -> Progress:
    """The newest line of a job's progress file; zeros when there is none."""
    line = last_line(folder / PROGRESS_NAME)
    try:
        found = json.loads(line)
        return Progress(int(found["step"]), int(found["steps"]), float(found.get("seconds", 0)))
    except (ValueError, KeyError, TypeError):
        return Progress()
