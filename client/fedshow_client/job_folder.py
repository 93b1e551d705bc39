"""What one tuning job leaves on this machine, and where each thing lies."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class JobFolder:
    """The folder of one job; the images lie elsewhere."""

    path: Path

    @property
    def work(self) -> Path:
        """Checkpoints, latents and samples."""
        return self.path / "work"

    @property
    def progress(self) -> Path:
        """How far it is: one JSON object a line, the newest last."""
        return self.path / "progress.jsonl"

    @property
    def log(self) -> Path:
        """What the tuner said."""
        return self.path / "tune.log"

    @property
    def lock(self) -> Path:
        """Held by the tuner while it runs."""
        return self.path / "lock"

    def result(self, name: str) -> Path:
        """The concept file, until it goes to the outbox."""
        return self.path / f"{name}.safetensors"

    def report(self, name: str) -> Path:
        """The page about the tuning."""
        return report_beside(self.result(name))


def report_beside(concept: Path) -> Path:
    """The page about how a concept file was tuned."""
    return concept.with_name(f"{concept.stem}.report.html")
