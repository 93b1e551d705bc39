"""report.json in a few numbers."""

import json
from pathlib import Path
from statistics import fmean


def summarise(report: Path) -> dict[str, object]:
    """Mean held-out residual per concept and mean drift, over layers; empty without recordings."""
    content = json.loads(report.read_text())
    layers = list(content["layers"].values())
    if not layers:
        return {}
    unseen = zip(*(layer["residual_heldout"] for layer in layers), strict=True)
    return {
        "residual_heldout": {
            name: round(fmean(values), 4)
            for name, values in zip(content["concepts"], unseen, strict=True)
        },
        "drift": round(fmean(layer["drift"] for layer in layers), 4),
    }
