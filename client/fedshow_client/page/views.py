"""What the page shows of one concept besides its state: pictures, curve and estimate, read from disk."""

from functools import lru_cache
from pathlib import Path

from fedshow.concepts import read_concept
from fedshow.errors import FedshowError
from fedshow_client.daemon.progress import read_losses
from fedshow_client.home import Home
from fedshow_client.status.facts import ConceptStatus
from fedshow_client.tuning.watching.curves import MOST_POINTS, Chart, Line
from fedshow_client.tuning.watching.sample_files import FOLDER_NAME, steps_with_samples

SMOOTHED_OVER = 10
"""Told losses, which are ten steps apart."""


def sample_folder(home: Home, job: int) -> Path:
    """Where a job's samples lie."""
    return home.job(job).work / FOLDER_NAME


def looks_of(home: Home, job: int) -> list[int]:
    """The steps after which there are samples, oldest first."""
    return steps_with_samples(sample_folder(home, job))


def loss_chart(home: Home, job: int) -> str:
    """The loss over steps as SVG; empty before there is any."""
    points = read_losses(home.job(job).progress)
    if not points:
        return ""
    points = points[:: -(-len(points) // MOST_POINTS)]
    means = [
        (step, _mean(points[max(0, at + 1 - SMOOTHED_OVER) : at + 1]))
        for at, (step, _) in enumerate(points)
    ]
    return Chart(
        "Loss over steps", "loss", [Line("told", points, "faint"), Line("mean", means, "one")]
    ).svg()


def leakage_of(home: Home, concept: ConceptStatus) -> float | None:
    """The estimate, once it is made and while the concept file is here."""
    kept = home.concept_file(concept.server, concept.sha256)
    held = home.job(concept.job).result(concept.name)
    file = kept if concept.sha256 else held
    try:
        return _leakage(file, file.stat().st_mtime_ns)
    except (OSError, FedshowError):
        return None


@lru_cache(256)
def _leakage(file: Path, _changed: int) -> float | None:
    found = read_concept(file).header.metrics.get("leakage")
    return None if found is None else float(found)


def _mean(points: list[tuple[float, float]]) -> float:
    return sum(loss for _, loss in points) / len(points)
