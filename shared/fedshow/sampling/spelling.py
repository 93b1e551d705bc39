"""Options written behind an area or a file: `0,0,.5,1; weight=.8; negative=hat`."""

import math
from typing import NamedTuple

from fedshow.errors import InvalidInput


class Options(NamedTuple):
    """What is written before the first semicolon, and the options behind it."""

    what: str
    numbers: dict[str, float]
    texts: dict[str, str]


def read_options(spec: str, said: str, texts: tuple[str, ...] = ()) -> Options:
    """The options in `said`, a part of `spec`; those named in `texts` are words, all others numbers.

    Raises InvalidInput.
    """
    what, *parts = said.split(";")
    found = Options(what.strip(), {}, {})
    for part in parts:
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not name:
            raise InvalidInput(f"{spec!r}: {part.strip()!r} is no option, such as weight=0.8")
        if name in texts:
            found.texts[name] = value
        else:
            found.numbers[name] = _number(spec, name, value)
    return found


def _number(spec: str, name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInput(f"{spec!r}: {name} {value!r} is no number")
    return number
