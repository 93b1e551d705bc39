"""How work tells people what it does, and how far it is."""

from collections.abc import Callable

Say = Callable[[str], None]
"""Takes a line for people."""

OnProgress = Callable[[int, int], None]
"""Takes how much is done and how much there is: bytes, pictures."""


def counter(total: int, on_progress: OnProgress) -> Callable[[int], None]:
    """Takes how much more is done, and tells how much of `total` that makes."""
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        on_progress(done, total)

    return count
