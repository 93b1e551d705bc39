"""Places in the bar at the top of a page."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """A place in the bar."""

    name: str
    path: str
    below: str
    """What lies below this path belongs to it."""

    def leads_to(self, path: str) -> bool:
        """Whether somebody who is at `path` is here."""
        return path == self.path or f"{path}/".startswith(f"{self.below}/")
