"""The embedded base model and the drawn world that it was trained on."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
CONDITIONS = WEIGHTS / "conditions"
"""`control` and `adapter` hold a folder for each type of spatial condition."""
