"""Range headers: the parser, and the same over HTTPS from a server that runs.

There is no refusing, only the right part: a server may always send the whole, but a part only for one
valid range (RFC 9110, 14.1.2) of this very content, and then exactly it; 416 only for a valid range
outside of it. A plain `bytes=FIRST-LAST` inside must give the part.
"""

import re
from dataclasses import dataclass

from hypothesis import strategies as st

from benchmarks.federating.fuzzing.mutating import odd_bytes
from benchmarks.federating.fuzzing.target import Broken, Target
from benchmarks.federating.knocking.line import Line
from fedshow.errors import InvalidInput
from fedshow_server.web.ranges import Unsatisfiable, wanted_range

VALID = re.compile(r"bytes=[ \t]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t]*", re.IGNORECASE)
PLAIN = re.compile(r"bytes=([0-9]{1,9})-([0-9]{1,9})")
HEADER = re.compile(rb"[\x20-\x7e\x80-\xff\t]*")
NUMBERS = st.one_of(
    st.integers(-2, 5000).map(str),
    st.sampled_from(
        ["", "00", "0x1", "1e3", "+1", "\u0661", "9" * 30, "9" * 4300, str(2**64), "4095"]
    ),
)
SEEDS = tuple(
    text.encode()
    for text in ("bytes=0-0", "bytes=0-", "bytes=-1", "bytes=10-20", "bytes=0-0,2-3", "bytes=5000-")
)


@dataclass(frozen=True)
class Content:
    """A file that a server has, and how to ask for it."""

    line: Line
    path: str
    headers: tuple[tuple[str, str], ...]
    content: bytes
    etag: str


@dataclass(frozen=True)
class Given:
    """The part that the parser gave, and what came over the wire."""

    part: tuple[int, int] | str | None
    status: int = 0
    body: bytes = b""


def target(file: Content) -> Target:
    """A header each; behind a line break another entity tag for If-Range."""
    spelled = st.builds(
        "{}{}{}-{}{}".format,
        st.sampled_from(["bytes=", "Bytes=", "bytes =", "bytes", "items=", " bytes=", "bytes= "]),
        st.sampled_from(["", "-", " ", "0-1,", ","]),
        *(NUMBERS, NUMBERS),
        st.sampled_from(["", "", "", " ", ",", ",5-9", "-", "\t"]),
    ).map(lambda text: text.encode("latin-1", "ignore"))
    tagged = st.sampled_from(
        [b"", b"\n" + file.etag.encode(), b'\n"x"', b"\nW/" + file.etag.encode()]
    )
    headers = st.one_of(spelled, odd_bytes(*SEEDS))
    cases = st.builds(bytes.__add__, headers, tagged)
    return Target(
        "ranges", cases, SEEDS, lambda case: feed(file, case), lambda *it: fault(file, *it)
    )


def parser(file_size: int, etag: str) -> Target:
    """The parser alone, whose coverage can be followed."""
    file = Content(None, "", (), bytes(file_size), etag)  # type: ignore[arg-type]  # nothing is asked
    return Target(
        "range parser", st.binary(), SEEDS, lambda case: Given(parsed(file, case)), _never
    )


def _never(_case: bytes, _made: Given) -> None:
    return None


def feed(file: Content, case: bytes) -> Given:
    """What parser and server answer. Raises InvalidInput for what is no header at all."""
    header, _, tag = case.partition(b"\n")
    if not HEADER.fullmatch(header) or not HEADER.fullmatch(tag):
        raise InvalidInput("no header")
    part = parsed(file, case)
    sent = (
        ("range", header.decode("latin-1")),
        *((("if-range", tag.decode("latin-1")),) if tag else ()),
    )
    answer = file.line.send("GET", file.path, (*file.headers, *sent))
    if answer.status == 400 and not answer.ours:
        raise InvalidInput("no request")
    if answer.status not in (200, 206, 416):
        raise Broken(f"status {answer}")
    return Given(part, answer.status, answer.body)


def parsed(file: Content, case: bytes) -> tuple[int, int] | str | None:
    """The part that the server's parser gives; a word for one outside of the file."""
    header, _, tag = case.decode("latin-1").partition("\n")
    headers = {"range": header.strip(" \t")} | ({"if-range": tag} if tag else {})
    try:
        return wanted_range(headers, file.etag, len(file.content))
    except Unsatisfiable:
        return "unsatisfiable"


def fault(file: Content, case: bytes, made: Given) -> str | None:
    """Why the part is not that which was asked for."""
    header, _, tag = case.decode("latin-1").partition("\n")
    right = wanted(header.strip(" \t"), len(file.content)) if tag in ("", file.etag) else None
    if made.part not in (right, None):
        return f"the parser gave {made.part}, right is {right}"
    if PLAIN.fullmatch(header) and made.part != right:
        return f"{right} was not given"
    if made.status == 200 and made.body == file.content and not PLAIN.fullmatch(header):
        return None  # blanks around what was sent are not always taken off before it is parsed
    start, end = made.part if isinstance(made.part, tuple) else (0, len(file.content))
    if made.status != (416 if isinstance(made.part, str) else 206 if made.part else 200):
        return f"status {made.status}, and the parser gave {made.part}"
    if made.status != 416 and made.body != file.content[start:end]:
        return f"{len(made.body)} bytes are not those of {start} to {end}"
    return None


def wanted(header: str, size: int) -> tuple[int, int] | str | None:
    """The part by the standard's words; "unsatisfiable", and None for what is no single range."""
    found = VALID.fullmatch(header)
    if found is None:
        return None
    first, last, suffix = (_number(text) for text in found.groups())
    if suffix is not None:
        return (max(0, size - suffix), size) if suffix and size else "unsatisfiable"
    assert first is not None
    if last is not None and last < first:
        return None
    if first >= size:
        return "unsatisfiable"
    return first, size if last is None else min(size, last + 1)


def _number(text: str | None) -> int | None:
    """As a number; what has twenty digits and more is larger than any file."""
    digits = (text or "").lstrip("0")
    if not text:
        return None
    return int(digits or "0") if len(digits) < 20 else 10**20 + len(digits)
