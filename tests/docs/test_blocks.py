"""The blocks themselves: every one says what it is, few are not run, and outputs are compared."""

import pytest

from tests.docs.blocks import PAGES, RUN, all_blocks, blocks_of
from tests.docs.machines import shows, shows_in_any_order

NOT_RUN_AT_MOST = 6


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_one_that_is_run_or_says_why_not(page: str) -> None:
    for block in blocks_of(page):
        assert block.language in RUN or block.reason, f"{block}: {block.language}"
        assert block.output or not block.until, f"{block}: until it shows what?"


def test_few_blocks_are_not_run() -> None:
    left = [f"{block}: {block.reason}" for block in all_blocks() if not block.runs]
    assert len(left) <= NOT_RUN_AT_MOST, left


@pytest.mark.parametrize(
    ("wanted", "printed", "is_shown"),
    [
        ("one\ntwo", "one\ntwo\n", True),
        ("one\ntwo", "one\ntwo\nthree", False),
        ("one (*)", "one (*)", True),
        ("release …: a, b", "release 0123: a, b", True),
        ("release …: a, b", "release\n: a, b", False),
        ("one\n…\nfour", "one\ntwo\nthree\nfour", True),
        ("one\n…\nfour", "one\nfour", True),
        ("one\n…\nfour", "zero\none\nfour", False),
        ("…\nfour", "one\nfour", True),
        ("…\nfour", "four\nfive", False),
        ("one\n…", "one", True),
        ("name  role\nx     y", "name        role\nx           y", True),
    ],
)
def test_what_is_shown_is_what_was_printed(wanted: str, printed: str, is_shown: bool) -> None:
    assert shows(wanted, printed) == is_shown


@pytest.mark.parametrize(
    ("printed", "is_shown"),
    [
        ("name  age\nbolt  1\ngloop  2", True),
        ("name  age\ngloop  2\nbolt  1", True),
        ("name  age\ngloop  2", False),
        ("name  age\ngloop  2\ngloop  3", False),
        ("name  age\ngloop  2\nbolt  1\nzorp  3", False),
    ],
)
def test_in_any_order_every_line_is_there_once_and_no_other(printed: str, is_shown: bool) -> None:
    assert shows_in_any_order("name  age\nbolt  …\ngloop  …", printed) == is_shown
