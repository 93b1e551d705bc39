"""Concept words in ComfyUI's tokens, where a vector may stand in a token's place.

Shapes: S slots, D width of the text encoder.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

MENTION = re.compile(r"<([^<>\s]+)>")
MARKS = "~^|`$%@#"
"""Each is one token where it stands alone; one that the text has not holds the place of a word."""

Tokens = dict[str, list[list[tuple[Any, ...]]]]
"""Per text encoder chunks of (token or vector, weight)."""


class UnknownConcept(ValueError):
    """Raised for a `<name>` that the release does not have."""


class ConceptTokenizer:
    """ComfyUI's own tokenizer, for which `<name>` is the words of a concept: here one mean vector each.

    `at_slot` exchanges the means for the vectors of one cross-attention layer.
    """

    def __init__(
        self, inner: Any, concepts: Mapping[str, tuple[str, ...]], rows: Mapping[str, Tensor]
    ) -> None:
        self.inner, self.concepts, self.rows = inner, dict(concepts), dict(rows)
        self.slots = len(next(iter(self.rows.values())))
        self._means = {word: row_SD.mean(0) for word, row_SD in self.rows.items()}
        self._word_of = {id(mean_D): word for word, mean_D in self._means.items()}

    def __getattr__(self, name: str) -> Any:
        """Everything else is the inner one's."""
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def chunk(self) -> int:
        """Tokens that the text encoder reads at once."""
        return len(_only(self.inner.tokenize_with_weights(""))[0])

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
        place, words = self._token_of(mark), iter(found)
        exchanged = {
            name: [[_put(one, place, words, self._means) for one in chunk] for chunk in chunks]
            for name, chunks in tokens.items()
        }
        assert next(words, None) is None, "a mark that the tokenizer did not keep"
        return exchanged

    def at_slot(self, tokens: Tokens, slot: int) -> Tokens:
        """The same tokens with the vectors of one slot."""

        def own(token: tuple[Any, ...]) -> tuple[Any, ...]:
            word = self._word_of.get(id(token[0]))
            return token if word is None else (self.rows[word][slot], *token[1:])

        return {name: [[own(t) for t in chunk] for chunk in c] for name, c in tokens.items()}

    def names_any(self, tokens: Tokens) -> bool:
        """Whether a concept is named."""
        return any(id(t[0]) in self._word_of for c in tokens.values() for chunk in c for t in chunk)

    def _words(self, match: re.Match[str]) -> tuple[str, ...]:
        mention, name = match.group(0).lower(), match.group(1).lower()
        if mention in self.rows:
            return (mention,)
        if name in self.concepts:
            return self.concepts[name]
        known = ", ".join(f"<{one}>" for one in sorted(self.concepts)[:12])
        raise UnknownConcept(f"{match.group(0)} is not a concept of this release (it has {known})")

    def _token_of(self, mark: str) -> Any:
        alone, empty = (
            [token[0] for token in _only(self.inner.tokenize_with_weights(text))[0]]
            for text in (mark, "")
        )
        (token,) = (own for own, blank in zip(alone, empty, strict=True) if own != blank)
        return token


def _put(
    token: tuple[Any, ...], place: Any, words: Any, means: Mapping[str, Tensor]
) -> tuple[Any, ...]:
    if isinstance(token[0], Tensor) or token[0] != place:
        return token
    return (means[next(words)], *token[1:])


def _only(tokens: Tokens) -> list[list[tuple[Any, ...]]]:
    if len(tokens) != 1:
        raise ValueError(f"CLIP with text encoders {', '.join(tokens)}: this release knows one")
    (chunks,) = tokens.values()
    return chunks
