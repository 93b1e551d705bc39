"""Concept names in prompts."""

import pytest

from fedshow.concepts import check_name, expand_prompt, words_of
from fedshow.errors import InvalidInput

KNOWN = {"potter": ("<potter1>", "<potter2>"), "mimi": ("<mimi1>", "<mimi2>")}


def test_mentions_become_their_words() -> None:
    assert expand_prompt("a <potter> and <MIMI>", KNOWN) == (
        "a <potter1> <potter2> and <mimi1> <mimi2>"
    )


def test_words_themselves_stay() -> None:
    assert expand_prompt("<potter1> <potter2>", KNOWN) == "<potter1> <potter2>"


def test_unknown_mention_names_the_nearest_known() -> None:
    with pytest.raises(InvalidInput, match=r"<poter> .* did you mean <potter>\?"):
        expand_prompt("a <poter>", KNOWN)


@pytest.mark.parametrize("name", ["potter", "a", "my-cat", "r2d", "x" * 32])
def test_good_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "Potter", "potter1", "-a", "a-", "a b", "../x", "x" * 33, "ä"]
)
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="concept name"):
        check_name(name)


def test_no_name_is_another_concepts_word() -> None:
    """Names end with a letter, words with a digit: `<potter1>` can only be a word."""
    for word in words_of("potter"):
        with pytest.raises(InvalidInput):
            check_name(word.strip("<>"))
