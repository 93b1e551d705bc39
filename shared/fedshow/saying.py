"""How work tells people what it does."""

from collections.abc import Callable

Say = Callable[[str], None]
"""Takes a line for people."""
