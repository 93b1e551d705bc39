"""The benchmark under fire: its judges know good from bad, and what a broken reader does is counted."""

import importlib.util
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from benchmarks.federating.fuzz import summary
from benchmarks.federating.fuzzing import (
    concept_files,
    guided,
    join_codes,
    manifests,
    ranges,
    target,
)
from benchmarks.federating.fuzzing.mutating import Pairs, Raw, planted, written
from benchmarks.federating.fuzzing.target import Outcome, Target, generate
from fedshow.concepts import header, read_concept
from fedshow.errors import InvalidInput
from tests.stage.waiting import PATIENCE_SECONDS

FEW = 150
MAKERS = (concept_files.target, join_codes.target, manifests.target)
CONTENT = bytes(range(256))


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no hang."""
    monkeypatch.setattr(target, "HANG_SECONDS", float(PATIENCE_SECONDS))


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__module__)
def test_good_ones_are_taken_and_no_bad_one(make: Callable[[], Target]) -> None:
    found = make()
    outcome = generate(found, FEW, start=1)
    assert outcome.totals == {}, outcome
    assert outcome.cases == FEW
    assert outcome.taken >= len(found.seeds)


def test_a_lax_reader_is_found_out() -> None:
    """What takes anything takes bad ones, and every one of them is named with its bytes."""
    strict = join_codes.target()
    code = join_codes.feed(strict.seeds[0])
    outcome = generate(replace(strict, feed=lambda _: code), FEW, start=1)
    assert outcome.totals["accepted"] > FEW / 2
    name, _, case = outcome.accepted[0].rpartition(": ")
    assert name.startswith("join codes: ")
    assert strict.fault(bytes.fromhex(case), code)


def test_a_reader_that_lets_the_last_of_two_names_count_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lax = lambda kind, text: kind.model_validate_json(text)  # noqa: E731
    monkeypatch.setattr(header, "read_document", lax)
    outcome = generate(concept_files.target(), 4 * FEW, start=1)
    assert outcome.totals["accepted"] > 0


def of(feed: Callable[[bytes], Any]) -> Target:
    """A target that is fed anything."""
    return Target("any", st.binary(max_size=4), (b"1", b"2"), feed, lambda _case, _made: None)


def test_crashes_hangs_and_unreadable_words_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_: bytes) -> None:
        raise ZeroDivisionError

    class Rude(InvalidInput):
        def __str__(self) -> str:
            return "\x1b[31m"

    def rude(_: bytes) -> None:
        raise Rude

    outcomes = [Outcome() for _ in range(3)]
    for outcome, feed in zip(outcomes, (crash, rude), strict=False):
        outcome.judge(of(feed), b"\x01\x02")
    monkeypatch.setattr(target, "HANG_SECONDS", 0.05)
    outcomes[2].judge(of(lambda _: time.sleep(600)), b"\x01\x02")
    figures = summary(outcomes)
    assert (figures["fuzz_cases"], figures["fuzz_crashes"]) == (3, 2)
    assert figures["fuzz_hangs"] >= 1
    assert all(line.endswith(": 0102") for line in figures["fuzz_crashes_list"])


def test_documents_are_written_as_they_were_planted() -> None:
    found = {"a": [1, {"b": None}], "c": "ä"}
    assert json.loads(written(planted(found))) == found
    assert written(Pairs((("a", Raw("1")), ("a", Raw("NaN"))))) == '{"a":1,"a":NaN}'


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 256)),
        ("bytes=-1", (255, 256)),
        ("bytes=-999", (0, 256)),
        ("bytes=250-999", (250, 256)),
        ("bytes=256-", "unsatisfiable"),
        ("bytes=-0", "unsatisfiable"),
        ("bytes=5-4", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
        ("", None),
    ],
)
def test_ranges_by_the_standard(text: str, right: object) -> None:
    assert ranges.wanted(text, len(CONTENT)) == right
    file = ranges.Content(None, "", (), CONTENT, '"x"')  # type: ignore[arg-type]
    status = 416 if right == "unsatisfiable" else 206 if right else 200
    start, end = right if isinstance(right, tuple) else (0, len(CONTENT))
    given = ranges.Given(ranges.parsed(file, text.encode()), status, CONTENT[start:end])
    assert ranges.fault(file, text.encode(), given) is None
    if status != 416:
        wrong = replace(given, body=CONTENT[start:end] + b"x")
        assert ranges.fault(file, text.encode(), wrong)


@pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="atheris is not installed")
def test_guided_cases_come_back(tmp_path: Path) -> None:
    outcome = guided.guide("join codes", FEW, 0, tmp_path)
    assert outcome.cases == FEW
    assert outcome.totals == {}


def test_the_card_of_the_judge_is_that_of_the_reader() -> None:
    blob = concept_files.target().seeds[0]
    assert concept_files.fault(blob, read_concept(blob, concept_files.CARD)) is None
