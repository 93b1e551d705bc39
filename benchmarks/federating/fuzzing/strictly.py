"""JSON as the judges read it: every rule of RFC 8259, and nothing that two readers take for two things."""

import json
import math
import re
from datetime import datetime
from typing import Any

SHA256 = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z])?")
BASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
FAMILY = re.compile(r"[a-z0-9-]{1,32}")
KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Bad(Exception):
    """What no reader may take, and why."""


def demand(holds: object, what: str) -> None:
    """Raises Bad, naming what does not hold."""
    if not holds:
        raise Bad(what)


def document(content: bytes) -> Any:
    """What the JSON text says. Raises Bad."""
    try:
        text = content.decode("utf-8", "strict")
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
        json.dumps(found, allow_nan=False, ensure_ascii=False).encode("utf-8", "strict")
    except (ValueError, RecursionError) as error:
        raise Bad(f"no strict JSON: {error!s:.80}") from None
    return found


def entries(value: Any, needed: set[str], allowed: set[str], what: str) -> dict[str, Any]:
    """An object with these names and no others. Raises Bad."""
    demand(isinstance(value, dict), f"{what} is no object")
    demand(needed <= set(value) <= needed | allowed, f"{what} has the names {sorted(value)!s:.80}")
    return dict(value)


def whole(value: Any, least: int, most: int, what: str) -> int:
    """A whole number, no truth value and no fraction. Raises Bad."""
    demand(type(value) is int and least <= value <= most, f"{what} is {value!r:.40}")
    return int(value)


def number(value: Any, what: str) -> float:
    """A finite number. Raises Bad."""
    demand(type(value) in (int, float) and math.isfinite(value), f"{what} is {value!r:.40}")
    return float(value)


def text(value: Any, pattern: re.Pattern[str], what: str) -> str:
    """Text that is the pattern as a whole. Raises Bad."""
    demand(isinstance(value, str) and pattern.fullmatch(value), f"{what} is {value!r:.40}")
    return str(value)


def moment(value: Any, what: str) -> datetime:
    """A moment with its offset from UTC. Raises Bad."""
    demand(isinstance(value, str), f"{what} is {value!r:.40}")
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise Bad(f"{what} is {value!r:.40}") from None
    demand(found.tzinfo is not None, f"{what} has no offset: {value!r:.40}")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name stands there twice")
    return dict(pairs)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")
