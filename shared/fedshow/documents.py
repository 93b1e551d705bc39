"""JSON from outside, read strictly: what two readers could take for two things is refused."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, NoReturn, Protocol, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, ValidationError

MAX_BYTES = 64 << 20
MAX_DEPTH = 16
"""Containers within containers; our own documents need five."""
MAX_WHOLE = 2**64
"""Whole numbers stay below, as everywhere else on the wire."""

WHOLE = ""
"""Where something is wrong with all of a document."""

WRITTEN_OUT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")


def _written_out(value: object) -> object:
    """What text that begins with a date says: a bare number would pass for seconds since 1970."""
    if not isinstance(value, str):
        return value
    if not WRITTEN_OUT.match(value):
        raise ValueError("must be a date and a time with an offset")
    return datetime.fromisoformat(value)


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]
"""Date and time with their offset from UTC, as text."""

FirstFormat = Annotated[int, Field(ge=1, le=1)]
"""The only format there is so far; of a Literal, 1.0 and true would be one, too."""

Model = TypeVar("Model", bound=BaseModel)


UNKNOWN = "extra_forbidden"
"""The kind of fault that a name is which nobody knows."""


@dataclass(frozen=True)
class Fault:
    """What is wrong first with values from outside."""

    where: str
    """Names and numbers that lead there, with dots between."""

    says: str
    kind: str
    """Pydantic's word for what is wrong."""

    value: object

    @property
    def given(self) -> str:
        """The value there, as Python writes it, and no more of it than fits a line."""
        return f"{self.value!r:.80}"


def first_fault(error: "Refusing", within: int = 0) -> Fault:
    """The first thing that pydantic refuses; of where it is, the first `within` names are left out."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"][within:]))
    return Fault(where, first["msg"], first["type"], first.get("input"))


class Refusing(Protocol):
    """Pydantic's ValidationError, or one that FastAPI makes of it."""

    def errors(self) -> Sequence[Any]:
        """What is refused, each with where, what and why."""


class BadDocument(ValueError):
    """What is wrong with a document: where, the value there, and why it is refused."""

    def __init__(self, where: str, problem: str, value: object = "") -> None:
        super().__init__(f"{where}: {problem}" if where else problem)
        self.where = where
        self.problem = problem
        self.value = value


def read_document(kind: type[Model], content: bytes | str, max_bytes: int = MAX_BYTES) -> Model:
    """The document in `content`, every value of the very type that it must have. Raises BadDocument."""
    read_json(content, max_bytes)
    try:
        return kind.model_validate_json(content, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        fault = first_fault(error)
        raise BadDocument(fault.where, fault.says, fault.value) from None


def read_json(content: bytes | str, max_bytes: int = MAX_BYTES) -> Any:
    """What JSON text says. Raises BadDocument.

    Not taken: other encodings than UTF-8, two entries of one name in an object, NaN, infinity and
    numbers that become infinite, halves of surrogate pairs, what is nested deeper than MAX_DEPTH.
    """
    if len(content) > max_bytes:
        raise BadDocument(WHOLE, f"{len(content)} bytes, limit {max_bytes}")
    try:
        text = content if isinstance(content, str) else content.decode()
        found = json.loads(
            text,
            object_pairs_hook=_object,
            parse_float=_finite,
            parse_int=_whole,
            parse_constant=_refuse,
        )
        _check(found, MAX_DEPTH)
    except RecursionError:
        raise BadDocument(WHOLE, "nested too deep") from None
    except BadDocument:
        raise
    except ValueError as error:
        raise BadDocument(WHOLE, f"Invalid JSON: {error}") from None
    return found


def _object(entries: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(entries)
    if len(found) < len(entries):
        names = [name for name, _ in entries]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadDocument(f"{twice:.80}", "stands there twice")
    return found


def _finite(text: str) -> float:
    if not math.isfinite(found := float(text)):
        _refuse(text)
    return found


def _whole(text: str) -> int:
    if len(text) > len(str(MAX_WHOLE)) or abs(found := int(text)) >= MAX_WHOLE:
        _refuse(text)
    return found


def _refuse(text: str) -> NoReturn:
    raise BadDocument(WHOLE, f"the number {text:.40} is too large, or none")


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        value.encode()  # raises UnicodeEncodeError for half of a surrogate pair
    if isinstance(value, dict | list):
        if depth == 0:
            raise BadDocument(WHOLE, f"nested deeper than {MAX_DEPTH}")
        for part in (*value, *value.values()) if isinstance(value, dict) else value:
            _check(part, depth - 1)
