"""The embedded base model and the drawn world that it was trained on."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
