"""What somebody typed into a form."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from fedshow.errors import InvalidInput

Number = TypeVar("Number", int, float)
LARGEST = (1 << 31) - 1


def number(fields: Mapping[str, str], name: str, kind: Callable[[str], Number]) -> Number | None:
    """The number in a field, None for an empty one; raises InvalidInput for anything else."""
    said = fields.get(name, "").strip()
    if not said:
        return None
    try:
        found = kind(said)
    except ValueError:
        raise InvalidInput(f"{name} = {said[:40]!r}: not a number") from None
    if not -LARGEST <= found <= LARGEST:
        raise InvalidInput(f"{name} = {said[:40]!r}: no number up to {LARGEST}")
    return found


def words(fields: Mapping[str, str], name: str) -> list[str]:
    """The words in a field, between which are spaces, commas or ends of lines."""
    return fields.get(name, "").replace(",", " ").split()
