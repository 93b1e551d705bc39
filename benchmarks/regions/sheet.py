"""The same layouts drawn in several ways, side by side, for the documentation."""

from pathlib import Path

import torch

from benchmarks.regions import study
from benchmarks.regions.layouts import layouts
from benchmarks.report import IMAGES
from fedshow.sampling.grid import grid

ROWS = {
    "one prompt": "plain",
    "regions, as in\nthe paper": "regions",
    "regions with\nwindows": "windows",
    "weights averaged,\nwith windows": "average",
}
SHOWN = ((2, "apart"), (3, "touching"), (3, "apart"), (4, "apart"))
"""The first layout of each kind."""

CELL = 288
"""Pixels of a row's widest picture."""


def draw(work: Path, folder: Path = IMAGES) -> None:
    """`regions.png`, of what `study.prepare` made."""
    torch.set_num_threads(1)
    shown = [layouts(count, variant, 1)[0] for count, variant in SHOWN]
    rows = []
    for label, way in ROWS.items():
        release, options = study.WAYS[way]
        model = study.release(work, release)
        rows.append((label, [study.draw(model, layout, **options) for layout in shown]))
    grid(rows, CELL).save(folder / "regions.png")
