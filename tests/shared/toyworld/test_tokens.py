"""The tokenizer knows the captions' words whole and survives everything else."""

from __future__ import annotations

import random

from fedshow.toyworld.captions import caption
from fedshow.toyworld.heldout import training_scene
from fedshow.toyworld.training.tokens import (
    MAX_TOKENS,
    build_tokenizer,
    byte_pair_merges,
    caption_words,
)


def test_every_word_of_a_caption_is_one_token() -> None:
    tokenizer = build_tokenizer(caption_words(scenes=2000))
    rng = random.Random(9)
    for _ in range(300):
        text = caption(training_scene(rng), rng)
        ids = tokenizer(text)["input_ids"]
        assert len(ids) == len(text.split()) + 2 <= MAX_TOKENS


def test_unknown_strings_are_spelled_out() -> None:
    tokenizer = build_tokenizer(["a", "robot"])
    ids = tokenizer("a <potter1> <potter2> 42 übergrößen robot!")["input_ids"]
    assert len(ids) > 10
    assert max(ids) < len(tokenizer)
    assert tokenizer.unk_token_id not in ids[1:-1]


def test_merges_take_the_commonest_pair_first() -> None:
    merges = byte_pair_merges(["aab", "aac"])
    assert merges[0] == ("a", "a")
    assert set(merges[1:]) == {("aa", "b</w>"), ("aa", "c</w>")}


def test_words_do_not_depend_on_anything_but_the_seed() -> None:
    assert caption_words(scenes=500) == caption_words(scenes=500)
