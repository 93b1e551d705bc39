"""The Flower app that travels: two lines that name the installed code, so nothing else can run."""

from pathlib import Path

FOLDER = Path(__file__).parent
"""Where Flower's builder finds the bundle."""
