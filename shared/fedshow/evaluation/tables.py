"""A report as tables for people."""

from collections.abc import Iterator, Mapping

from fedshow.evaluation.report import Report
from fedshow.scoring.intervals import Interval

Row = tuple[str, ...]
Table = tuple[Row, list[Row]]
"""What stands above the columns, and the rows."""

CONCEPTS = ("concept", "model", "scorer", "image alignment", "text alignment", "kept")
DRIFT = ("drift of", "scorer", "squared difference", "1 - cosine")
SCENES = ("scene", "model", "region of", "scorer", "image alignment", "nearest")
NOTHING = "-"
OWN = "(own pictures)"


def tables(report: Report) -> list[Table]:
    """Concepts, drift and scenes; those without a row are left out."""
    found = ((CONCEPTS, _concepts(report)), (DRIFT, _drift(report)), (SCENES, _scenes(report)))
    return [(head, rows) for head, given in found if (rows := list(given))]


def _concepts(report: Report) -> Iterator[Row]:
    names = dict.fromkeys(name for model in report.models for name in model.concepts)
    for name in names:
        for scorer in report.scorers:
            if (among := report.among[scorer].get(name)) is not None:
                yield f"<{name}>", OWN, scorer, _number(among), NOTHING, NOTHING
        for model in report.models:
            if (one := model.concepts.get(name)) is None:
                continue
            for scorer in report.scorers:
                cells = (_cell(scores, scorer) for scores in (one.image, one.text, one.kept))
                yield f"<{name}>", model.model, scorer, *cells


def _drift(report: Report) -> Iterator[Row]:
    for model in report.models:
        if model.drift is not None:
            for scorer in report.scorers:
                moved = _cell(model.drift.features, scorer)
                yield model.model, scorer, said(model.drift.squared), moved


def _scenes(report: Report) -> Iterator[Row]:
    for model in report.models:
        for scene, regions in model.scenes.items():
            for region in regions:
                for scorer in report.scorers:
                    cells = (_cell(scores, scorer) for scores in (region.image, region.nearest))
                    yield scene, model.model, f"<{region.concept}>", scorer, *cells


def _cell(scores: Mapping[str, Interval], scorer: str) -> str:
    return said(scores[scorer]) if scorer in scores else NOTHING


def said(found: Interval) -> str:
    """`.843 (.831 to .855)`: the value, and where it lies with a probability of 95 %."""
    if found.low is None or found.high is None:
        return _number(found.value)
    return f"{_number(found.value)} ({_number(found.low)} to {_number(found.high)})"


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) >= 0.01 or not value else f"{value:.2g}"
