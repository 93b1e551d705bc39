"""Which scorer measures samples here, told without torch."""

from dataclasses import dataclass
from pathlib import Path

from fedshow.families.card import BaseCard
from fedshow.families.locating import TOYWORLD


@dataclass(frozen=True)
class ScorerChoice:
    """What identity is measured with."""

    name: str
    """Numbers of two names never compare; empty: nothing is measured."""
    folder: Path | None = None
    """Of a CLIP, DINOv2 or ArcFace model; None: the base's own."""

    @classmethod
    def of(cls, base: BaseCard, folder: Path | None) -> "ScorerChoice":
        """The model in `folder` (ArcFace: or that file), else what the base brings."""
        if folder is not None:
            return cls(folder.resolve().name, folder)
        return cls(TOYWORLD if base.name == TOYWORLD else "")

    @property
    def arguments(self) -> tuple[str, ...]:
        """For the worker's command line."""
        folder = () if self.folder is None else ("--scorer-folder", str(self.folder))
        return (f"--scorer={self.name}", *folder)
