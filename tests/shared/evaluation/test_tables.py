"""Tables of a report: values with their intervals, what is not there as a dash."""

import io
import sys

import pytest

from fedshow.commands.output import show_table
from fedshow.evaluation.report import (
    ConceptScores,
    DriftScores,
    ModelScores,
    RegionScores,
    Report,
)
from fedshow.evaluation.tables import said, tables
from fedshow.scoring.intervals import Interval

SURE = Interval(0.8434, 0.8312, 0.8551)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (SURE, "0.843 (0.831 to 0.855)"),
        (Interval(0.000123, 0.0, 0.0021), "0.00012 (0.000 to 0.0021)"),
        (Interval(-0.5, None, None), "-0.500"),
    ],
)
def test_an_interval_is_said_in_short(found: Interval, text: str) -> None:
    assert said(found) == text


def report() -> Report:
    alone = ConceptScores(
        pictures=4, image={"clip": SURE, "dino": SURE}, text={"clip": SURE}, kept={}
    )
    region = RegionScores("mimi", {"clip": SURE, "dino": SURE}, {"clip": SURE, "dino": SURE})
    drift = DriftScores(4, SURE, {"clip": SURE, "dino": SURE})
    one = ModelScores("fused", "release", None, {"mimi": alone}, drift, {"both.png": [region]})
    among = {"clip": {"mimi": 0.9}, "dino": {}}
    return Report("toyworld", ["a {}"], [0], 20, ["clip", "dino"], among, [one])


def test_every_scorer_has_a_row_and_what_it_does_not_know_is_a_dash() -> None:
    (_, concepts), (_, drift), (_, scenes) = tables(report())
    value = said(SURE)
    assert concepts == [
        ("<mimi>", "(own pictures)", "clip", "0.900", "-", "-"),
        ("<mimi>", "fused", "clip", value, value, "-"),
        ("<mimi>", "fused", "dino", value, "-", "-"),
    ]
    assert [row[1] for row in drift] == ["clip", "dino"]
    assert [row[:4] for row in scenes] == [
        ("both.png", "fused", "<mimi>", name) for name in ("clip", "dino")
    ]


def test_a_terminal_has_rules_and_a_pipe_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    shown, piped = io.StringIO(), io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True, raising=False)
    head, rows = tables(report())[0]
    for stream in (shown, piped):
        monkeypatch.setattr(sys, "stdout", stream)
        show_table(head, rows)
    assert "│" in shown.getvalue()
    assert "│" not in piped.getvalue()
    assert all("<mimi>" in stream.getvalue() for stream in (shown, piped))
