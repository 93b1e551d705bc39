"""What a child said last, as its parent tells it."""

from pathlib import Path

import pytest

from fedshow.errors import last_line
from fedshow.files import tail


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        (" \n\n", ""),
        ("one\ntwo\n", "two"),
        ("one\n  two  \n\n \n", "two"),
        ("fedshow: no such folder\n", "no such folder"),
        ("10 %\r20 %\r", "20 %"),
    ],
)
def test_the_last_line_is_the_last_that_says_something(text: str, said: str) -> None:
    assert last_line(text) == said


def test_the_end_of_a_file_is_read_and_no_more(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert tail(log) == ""
    log.write_text("a long story\nthe end")
    assert tail(log) == "a long story\nthe end"
    assert tail(log, 7) == "the end"
    log.write_bytes("ä".encode())
    assert tail(log, 1) == "\N{REPLACEMENT CHARACTER}"
