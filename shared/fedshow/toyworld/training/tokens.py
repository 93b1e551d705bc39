"""A small byte-pair vocabulary in CLIP's format, in which every word of the captions is one token."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from transformers import CLIPTokenizer

from fedshow.toyworld.captions import caption
from fedshow.toyworld.heldout import training_scene

MAX_TOKENS = 32
Merge = tuple[str, str]


def caption_words(seed: int = 0, scenes: int = 20_000) -> list[str]:
    """Every word that captions use, in alphabetical order."""
    rng = random.Random(seed)
    captions = (caption(training_scene(rng), rng) for _ in range(scenes))
    return sorted({word for text in captions for word in text.split()})


def byte_pair_merges(words: Iterable[str]) -> list[Merge]:
    """Merges, most frequent pair first, until each word is a single token."""
    spellings = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges: list[Merge] = []
    while counts := Counter(pair for spelling in spellings for pair in pairwise(spelling)):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        spellings = [_merged(spelling, best) for spelling in spellings]
    return merges


def build_tokenizer(words: Iterable[str]) -> CLIPTokenizer:
    """A tokenizer that knows the words whole and spells anything else byte by byte."""
    merges = byte_pair_merges(words)
    symbols = _byte_symbols()
    tokens = [*symbols, *(s + "</w>" for s in symbols)]
    tokens += dict.fromkeys(left + right for left, right in merges)
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges)
    tokenizer.model_max_length = MAX_TOKENS
    return tokenizer


def _merged(spelling: list[str], pair: Merge) -> list[str]:
    result: list[str] = []
    for symbol in spelling:
        if result and (result[-1], symbol) == pair:
            result[-1] += symbol
        else:
            result.append(symbol)
    return result


def _byte_symbols() -> list[str]:
    """One printable character for each byte, as in GPT-2 and CLIP."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
