"""How far a tuning job has come, from the file that the tuner appends to."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedshow.files import tail

CURVE_BYTES = 4 << 20
"""Of the file's end; what a longer run told first is not drawn."""


@dataclass(frozen=True)
class Progress:
    """How far tuning has come."""

    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    """Spent on the steps so far, over all runs of the job."""
    waiting: str = ""
    """What the tuner waits for."""
    rate: float | None = None
    """Steps in a second; None before the first news."""


def read_progress(file: Path) -> Progress:
    """What the newest lines of a progress file say; zeros when there is none."""
    told: dict[str, Any] = {}
    for line in tail(file).splitlines():
        told |= {"waiting": ""} | _facts(line)
    known = {name: told[name] for name in ("step", "steps", "seconds", "waiting") if name in told}
    progress = Progress(**known)
    mean = progress.step / progress.seconds if progress.seconds else None
    return replace(progress, rate=told.get("steps_per_second") or mean)


def read_losses(file: Path) -> list[tuple[float, float]]:
    """Steps and their losses, as far as they were told; of steps that were done again the last."""
    told = map(_facts, tail(file, CURVE_BYTES).splitlines())
    losses = {line["step"]: line["loss"] for line in told if {"step", "loss"} <= line.keys()}
    return [(float(step), float(loss)) for step, loss in sorted(losses.items())]


def _facts(line: str) -> dict[str, Any]:
    """Of one line; none of one that is cut off."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
