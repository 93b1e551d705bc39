"""Recipe values as people type them: `--set batch=2`."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fedshow.errors import InvalidInput
from fedshow_client.tuning.recipe import Recipe


def read_changes(texts: Iterable[str]) -> dict[str, Any]:
    """Values by recipe field from `KEY=VALUE` texts, each of its field's type.

    Raises InvalidInput for what is not of that form, for unknown keys and for values of another type.
    """
    return dict(map(_read, texts))


def _read(text: str) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    key = key.strip().replace("-", "_")
    if not sign:
        raise InvalidInput(f"--set {text!r}: must be KEY=VALUE, such as batch=2")
    if key not in Recipe.model_fields:
        raise InvalidInput(f"--set {key}: no such setting; {_suggestion(key)}")
    kind: Any = Recipe.model_fields[key].annotation
    try:
        return key, TypeAdapter(kind).validate_python(value.strip())
    except ValidationError:
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}[kind]
        raise InvalidInput(f"--set {key}={value}: must be {wanted}") from None


def _suggestion(key: str) -> str:
    close = get_close_matches(key, Recipe.model_fields, n=1)
    known = ", ".join(sorted(Recipe.model_fields))
    return f"did you mean {close[0]}?" if close else f"there are {known}"
