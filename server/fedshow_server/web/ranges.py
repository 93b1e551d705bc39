"""Which part of a file a request asks for (RFC 9110, sections 13 and 14)."""

import re
from collections.abc import Mapping

ONE_RANGE = re.compile(r"bytes=(?:([0-9]{1,4000})-([0-9]{0,4000})|-([0-9]{1,4000}))")


class Unsatisfiable(Exception):
    """The range lies outside of the file: status 416."""


def wanted_range(headers: Mapping[str, str], etag: str, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None for the whole file. Raises Unsatisfiable.

    Several ranges in one request give the whole file, as the standard allows: no client of a release
    asks for them, and adding up overlapping ones is an old way to keep servers busy. So does a
    range of another content than `etag`.
    """
    found = ONE_RANGE.fullmatch(headers.get("range", ""))
    if found is None or headers.get("if-range", etag) != etag:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < start:  # no range at all
            return None
    if start >= end:
        raise Unsatisfiable
    return start, end


def is_known(headers: Mapping[str, str], etag: str) -> bool:
    """Whether the asker says that it has this very content: status 304."""
    known = (tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(","))
    return any(tag in (etag, "*") for tag in known)
