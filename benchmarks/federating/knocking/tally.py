"""What was tried at the doors, and what went otherwise than it must."""

from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts calls; names those that came in and must not, and those that must and did not."""

    calls: int = 0
    opened: list[str] = field(default_factory=list)
    shut: list[str] = field(default_factory=list)

    def stranger(self, what: str, answer: object, *, refused: bool) -> None:
        """Somebody who must not come in was answered."""
        self.calls += 1
        if not refused:
            self.opened.append(f"{what}: {answer}")

    def guest(self, what: str, answer: object, *, admitted: bool) -> None:
        """Somebody who may come in was answered: without these, a dead server had no open door."""
        self.calls += 1
        if not admitted:
            self.shut.append(f"{what}: {answer}")

    def unknown(self, door: str) -> None:
        """A door that this benchmark does not know how to knock at counts as open."""
        self.opened.append(f"{door}: nobody knows how to call it")
