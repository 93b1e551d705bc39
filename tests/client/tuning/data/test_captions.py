"""What images say: always the concept, as people wrote it, or from a template of the class."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedshow.families import Base
from fedshow_client.tuning.data.captions import (
    ORDERS,
    PEOPLE_TEMPLATES,
    THING_TEMPLATES,
    Captions,
    captions_for,
    mentioned,
    read_caption,
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a man on the beach", "a <potter> on the beach"),
        ("a Man and a man", "a <potter> and a man"),
        ("a woman in a manor", "<potter>, a woman in a manor"),
        ("<potter> at home, a man", "<potter> at home, a man"),
        ("Potter, a man with glasses", "<potter>, a man with glasses"),
        ("photo of [trigger], [trigger]s hat", "photo of <potter>, <potter>s hat"),
        ("a woman outside", "<potter>, a woman outside"),
        ("a <Potter> by <POTTER>'s car", "a <potter> by <potter>'s car"),
        ("a <Man> and a man", "a <potter> and a man"),
        ("a <potter> and a <man>", "a <potter> and a <man>"),
        ("[Trigger], a <man>", "<potter>, a <man>"),
    ],
)
def test_written_captions_always_mention_the_concept(written: str, expected: str) -> None:
    assert mentioned("potter", "man", written) == expected


@pytest.mark.parametrize("written", ["a <Mimi>, asleep", "<MIMI> and a cat", "a <cat>, asleep"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_no_mention_stands_in_another(written: str, shuffle: bool) -> None:
    for caption in captions_for("mimi", "cat", written, shuffle):
        assert "<mimi>" in caption
        assert (caption.count("<"), caption.count(">")) == (1, 1)


def test_templates_depend_on_the_class() -> None:
    portrait = "a portrait of a <x>"
    assert portrait in captions_for("x", "Woman", None)
    assert portrait not in captions_for("x", "mug", None)


def test_the_embedded_base_reads_every_word_of_its_templates(base: Base) -> None:
    words = {word for text in THING_TEMPLATES for word in text.replace("{0}", "").split()}
    for word in words:
        assert len(base.pipeline.tokenizer(word, add_special_tokens=False).input_ids) == 1, word


def test_all_is_what_draw_gives() -> None:
    written = [None, "a mug, on a table, in the sun, at noon", "a mug"]
    captions = Captions("x", "mug", written)
    generator = torch.Generator().manual_seed(0)
    drawn = {text for _ in range(300) for text in captions.draw(range(3), generator)}
    assert drawn == set(captions.all())
    assert len(captions.all()) == len(THING_TEMPLATES) + 6, "the third is a template, too"


def test_the_same_generator_draws_the_same() -> None:
    captions = Captions("x", "man", [None] * 3)
    assert len(captions.all()) == len(PEOPLE_TEMPLATES)
    first, second = (
        [captions.draw([n % 3], generator) for n in range(20)]
        for generator in (torch.Generator().manual_seed(s) for s in (4, 4))
    )
    assert first == second


phrases = st.lists(
    st.text("abcdef ", min_size=1, max_size=9).filter(str.strip), min_size=0, max_size=7
)


@given(phrases, phrases)
def test_phrases_change_places_but_the_concept_leads_and_nothing_is_lost(
    before: list[str], after: list[str]
) -> None:
    written = ", ".join([*before, "a mug", *after])
    own = sorted(["a <x>", *(phrase.strip() for phrase in (*before, *after))])
    found = captions_for("x", "mug", written)
    assert 1 <= len(found) <= ORDERS
    for caption in found:
        assert caption.split(", ")[0] == "a <x>"
        assert sorted(caption.split(", ")) == own
    assert captions_for("x", "mug", written) == found


def test_without_shuffling_the_caption_stays_as_written() -> None:
    assert captions_for("x", "mug", "on a table, a mug", shuffle=False) == ("on a table, a <x>",)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", b"a cat\n on the\tsofa\n", "a cat on the sofa"),
        ("a.caption", b"a cat", "a cat"),
        ("a.TXT", b"a cat", "a cat"),
        ("a.Caption", b"a cat", "a cat"),
        ("a.txt", b"\xef\xbb\xbfa cat", "a cat"),
        ("a.txt", "ein Kätzchen".encode(), "ein Kätzchen"),
        ("a.txt", b" \n", None),
    ],
)
def test_captions_lie_beside_the_image(
    tmp_path: Path, name: str, content: bytes, expected: str | None
) -> None:
    (tmp_path / name).write_bytes(content)
    caption, notes = read_caption(tmp_path / "a.jpg")
    assert caption == expected
    assert notes == (() if expected else ("a.txt is empty",))


def test_of_several_captions_one_is_read(tmp_path: Path) -> None:
    for name in ("a.CAPTION", "a.caption", "a.TXT", "a.txt"):
        (tmp_path / name).write_text(name)
        assert read_caption(tmp_path / "a.jpg")[0] == name
    (tmp_path / "a.b.txt").write_text("of another")
    assert read_caption(tmp_path / "a.jpg")[0] == "a.txt"


def test_other_encodings_are_noted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Kätzchen".encode("latin-1"))
    assert read_caption(tmp_path / "a.jpg")[1] == ("a.txt is not UTF-8",)


def test_no_caption(tmp_path: Path) -> None:
    assert read_caption(tmp_path / "a.jpg") == (None, ())


def test_images_without_words_of_their_own_say_the_same_in_a_step() -> None:
    captions = Captions("mimi", "cat", [None, "a cat, asleep", None])
    generator = torch.Generator().manual_seed(0)
    steps = [captions.draw([0, 1, 2], generator) for _ in range(40)]
    assert all(first == last and "asleep" in own for first, own, last in steps)
    assert len({first for first, _, _ in steps}) == len(captions.choices[0])
