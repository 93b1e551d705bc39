"""How people name concepts, and the two token words behind each name."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from fedshow.errors import InvalidInput

NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z])?")
CLASS = re.compile(r"[a-z][a-z-]{0,30}")
MENTION = re.compile(r"<([^<>\s]+)>")


def check_name(name: str) -> str:
    """The name itself, when it can be written as `<name>` in prompts.

    Names end with a letter, so that `<potter1>` is always a word of `potter` and never
    another concept's name. Raises InvalidInput.
    """
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"concept name {name!r}: use 1 to 32 of a-z, 0-9 and '-', starting and ending with a letter"
        )
    return name


def check_class(word: str) -> str:
    """The class word itself, when it looks like one word. Raises InvalidInput."""
    if not CLASS.fullmatch(word):
        raise InvalidInput(f"class {word!r}: use one lower-case word such as 'man' or 'dog'")
    return word


def words_of(name: str, count: int = 2) -> tuple[str, ...]:
    """The token words of a concept: `potter` gives `<potter1>`, `<potter2>`."""
    return tuple(f"<{name}{i}>" for i in range(1, count + 1))


def expand_prompt(prompt: str, concepts: dict[str, tuple[str, ...]]) -> str:
    """The prompt with every `<name>` replaced by its token words.

    Raises InvalidInput for a `<name>` that is not among `concepts`.
    """
    known_words = {word for words in concepts.values() for word in words}

    def replace(match: re.Match[str]) -> str:
        mention = match.group(0).lower()
        if mention in known_words:
            return mention
        if (name := match.group(1).lower()) in concepts:
            return " ".join(concepts[name])
        raise InvalidInput(_unknown(match.group(0), concepts))

    return MENTION.sub(replace, prompt)


def mentioned(prompt: str, concepts: dict[str, tuple[str, ...]]) -> list[str]:
    """The concepts that a prompt names, each once, in order."""
    words = {word: name for name, own in concepts.items() for word in own}
    found = (match.group(0).lower() for match in MENTION.finditer(prompt))
    names = (words.get(mention, mention.strip("<>")) for mention in found)
    return list(dict.fromkeys(name for name in names if name in concepts))


def _unknown(mention: str, names: Iterable[str]) -> str:
    known = sorted(names)
    if not known:
        return f"{mention} in the prompt: this model knows no concepts"
    near = get_close_matches(mention.strip("<>").lower(), known, n=1)
    hint = f"; did you mean <{near[0]}>?" if near else ""
    listed = ", ".join(f"<{name}>" for name in known[:12])
    return f"{mention} in the prompt is not a concept of this model (it knows {listed}){hint}"
