"""Colours for people: on terminals only, and as NO_COLOR and FORCE_COLOR say."""

import os
import sys
from enum import StrEnum
from typing import TextIO


class Colour(StrEnum):
    """Codes of ECMA-48."""

    RED = "31"
    GREEN = "32"
    YELLOW = "33"


def wants_colours(stream: TextIO) -> bool:
    """Whether what is written to `stream` may be coloured: NO_COLOR wins, then FORCE_COLOR."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: Colour, stream: TextIO | None = None) -> str:
    """The text in this colour, if whoever reads standard output, or `stream`, wants colours."""
    if not wants_colours(stream or sys.stdout):
        return text
    return f"\033[{colour}m{text}\033[0m"
