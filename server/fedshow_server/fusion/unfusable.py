"""The errors that take a concept out of the way of all others."""

from typing import Self

from fedshow.errors import RefusedConcept


class UnfusableConcept(RefusedConcept):
    """A concept that no fusion can use, by name, so that the others can be fused without it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"concept {name!r}: {reason}")
        self.name = name
        self.reason = reason

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        """Other processes raise it, too."""
        return type(self), (self.name, self.reason)


class OddConcept(UnfusableConcept):
    """One that could be fused, but does what no honest concept does: the server's owner decides."""
