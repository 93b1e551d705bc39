"""Concept words in ComfyUI's tokens, where a vector may stand in a token's place.

Shapes: S slots, D width of a text encoder.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

MENTION = re.compile(r"<([^<>\s]+)>")
MARKS = "~^|`$%@#"
"""Each is one token where it stands alone; one that the text has not holds the place of a word."""

Chunks = list[list[tuple[Any, ...]]]
"""Of (token or vector, weight)."""

Tokens = dict[str, Chunks]
"""Per text encoder."""


class UnknownConcept(ValueError):
    """Raised for a `<name>` that the release does not have."""


class ConceptTokenizer:
    """ComfyUI's own tokenizer, for which `<name>` is the words of a concept: here one mean vector each.

    `at_slot` exchanges the means for the vectors of one slot. `rows` are those of every text encoder.
    """

    def __init__(
        self,
        inner: Any,
        concepts: Mapping[str, tuple[str, ...]],
        rows: Mapping[str, Mapping[str, Tensor]],
    ) -> None:
        self.inner, self.concepts, self.rows = inner, dict(concepts), dict(rows)
        (first, *_) = self.rows.values()
        self.words = frozenset(first)
        self.slots = len(next(iter(first.values())))
        self._empty = inner.tokenize_with_weights("")
        if self._empty.keys() != self.rows.keys():
            here, theirs = (", ".join(sorted(one)) for one in (self._empty, self.rows))
            raise ValueError(f"CLIP with text encoders {here}: this release knows {theirs}")
        self._means = {
            encoder: {word: row_SD.mean(0) for word, row_SD in own.items()}
            for encoder, own in self.rows.items()
        }
        self._word_of = {
            id(mean_D): word for own in self._means.values() for word, mean_D in own.items()
        }

    def __getattr__(self, name: str) -> Any:
        """Everything else is the inner one's."""
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def chunk(self) -> int:
        """Tokens that a text encoder reads at once."""
        return len(next(iter(self._empty.values()))[0])

    def tokenize_with_weights(
        self, text: str, return_word_ids: bool = False, **options: Any
    ) -> Tokens:
        """As ComfyUI's tokenizers give them; raises UnknownConcept."""
        found: list[str] = []
        mark = next((one for one in MARKS if one not in text), None)
        if mark is None:
            raise ValueError(f"prompt with all of {MARKS}: leave one of them out: {text!r:.80}")

        def stand_in(match: re.Match[str]) -> str:
            words = self._words(match)
            found.extend(words)
            return f" {mark} " * len(words)

        marked = MENTION.sub(stand_in, text)
        tokens: Tokens = self.inner.tokenize_with_weights(marked, return_word_ids, **options)
        if not found:
            return tokens
        alone = self.inner.tokenize_with_weights(mark)
        exchanged: Tokens = {}
        for name, chunks in tokens.items():
            place, words = _token_of(alone[name], self._empty[name]), iter(found)
            means = self._means[name]
            exchanged[name] = [[_put(one, place, words, means) for one in own] for own in chunks]
            assert next(words, None) is None, "a mark that the tokenizer did not keep"
        return exchanged

    def at_slot(self, tokens: Tokens, slot: int) -> Tokens:
        """The same tokens with the vectors of one slot."""

        def own(token: tuple[Any, ...], rows: Mapping[str, Tensor]) -> tuple[Any, ...]:
            word = self._word_of.get(id(token[0]))
            return token if word is None else (rows[word][slot], *token[1:])

        return {
            name: [[own(token, self.rows[name]) for token in chunk] for chunk in chunks]
            for name, chunks in tokens.items()
        }

    def names_any(self, tokens: Tokens) -> bool:
        """Whether a concept is named."""
        return any(id(t[0]) in self._word_of for c in tokens.values() for chunk in c for t in chunk)

    def _words(self, match: re.Match[str]) -> tuple[str, ...]:
        mention, name = match.group(0).lower(), match.group(1).lower()
        if mention in self.words:
            return (mention,)
        if name in self.concepts:
            return self.concepts[name]
        known = ", ".join(f"<{one}>" for one in sorted(self.concepts)[:12])
        raise UnknownConcept(f"{match.group(0)} is not a concept of this release (it has {known})")


def _token_of(alone: Chunks, empty: Chunks) -> Any:
    """The token of a text that is but one."""
    (token,) = {one[0] for one in alone[0]} - {one[0] for one in empty[0]}
    return token


def _put(
    token: tuple[Any, ...], place: Any, words: Any, means: Mapping[str, Tensor]
) -> tuple[Any, ...]:
    if isinstance(token[0], Tensor) or token[0] != place:
        return token
    return (means[next(words)], *token[1:])
