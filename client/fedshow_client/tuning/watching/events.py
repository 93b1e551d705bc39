"""TensorBoard's event files, when its package is there."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedshow_client.tuning.checkpoint import Progress
from fedshow_client.tuning.watching.looks import Look
from fedshow_client.tuning.watching.samples import Sample
from fedshow_client.tuning.watching.settings import SCALES


class Events:
    """Loss and rate of every step; scores and pictures of every look."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(folder, purge_step=step + 1)
        self.seconds = 0.0

    def step(self, progress: Progress) -> None:
        """One step's loss and how long it took."""
        took, self.seconds = progress.seconds - self.seconds, progress.seconds
        self._scalar("loss", progress.losses[-1], progress.step)
        if 0 < took < progress.seconds:
            self._scalar("steps_per_second", 1 / took, progress.step)

    def look(self, look: Look, samples: Sequence[Sample]) -> None:
        """One look's mean scores per scale, and its pictures."""
        for kind, rows in (("identity", look.identity), ("text", look.text)):
            for scale, row in zip(SCALES, rows, strict=False):
                self._scalar(f"{kind}/scale_{scale:g}", sum(row) / len(row), look.step)
        for sample in samples:
            tag = f"scale_{sample.scale:g}/{sample.prompt}"
            pixels = np.asarray(sample.image)
            self.writer.add_image(tag, pixels, look.step, dataformats="HWC")
        self.writer.flush()

    def close(self) -> None:
        """Everything is in the files afterwards."""
        self.writer.close()

    def _scalar(self, tag: str, value: float, step: int) -> None:
        self.writer.add_scalar(tag, value, step)
