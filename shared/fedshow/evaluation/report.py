"""Scores with their intervals, as they are printed and written."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from fedshow.evaluation.measuring import Drawn, Findings, Found, by_scorer, first_before
from fedshow.evaluation.pictures import Pictures
from fedshow.sampling.recipe import Recipe
from fedshow.scoring.alignment import squared_drift
from fedshow.scoring.intervals import Interval, mean_interval, ratio_interval

ByScorer = dict[str, Interval]


@dataclass(frozen=True)
class ConceptScores:
    """One concept as one model draws it; more is better."""

    pictures: int
    image: ByScorer
    """Mean cosine to the concept's own pictures."""

    text: ByScorer
    """How much pictures show what their prompts say, the class word in the concept's place."""

    kept: ByScorer
    """Image alignment of a release over that of the concept file, picture by picture."""


@dataclass(frozen=True)
class DriftScores:
    """How far a model moves pictures without a concept from the base's; less is better."""

    pictures: int
    squared: Interval
    features: ByScorer


@dataclass(frozen=True)
class RegionScores:
    """The crop of one region against its own concept's pictures."""

    concept: str
    image: ByScorer
    nearest: ByScorer
    """Share of crops that are nearer to their own concept than to any other with references."""


@dataclass(frozen=True)
class ModelScores:
    """All of one model."""

    model: str
    kind: str
    sha256: str | None
    """Of the concept file, or of the release's manifest."""

    concepts: dict[str, ConceptScores]
    drift: DriftScores | None
    scenes: dict[str, list[RegionScores]]


@dataclass(frozen=True)
class Report:
    """All models of one evaluation, and what was drawn."""

    base: str | None
    prompts: Sequence[str]
    seeds: Sequence[int]
    steps: int
    scorers: Sequence[str]
    among: Mapping[str, Mapping[str, float]]
    """By scorer and concept, how alike the concept's own pictures are: where image alignment ends."""

    models: Sequence[ModelScores]

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def model_scores(drawn: Sequence[Drawn], found: Mapping[str, Found]) -> list[ModelScores]:
    """Of every model that was named; `found` are all scorers' findings, in the order of `drawn`."""
    base = next((pictures for plan, pictures in drawn if plan.candidate.kind == "base"), None)
    scores = []
    for number, (plan, pictures) in enumerate(drawn):
        if not plan.is_shown:
            continue
        one, own = plan.candidate, by_scorer(found, number)
        concepts = {name: _concept(name, number, drawn, found) for name in plan.concepts}
        drift = None
        if base is not None and plan.drift is not None and one.kind != "base":
            drift = _drift(plan.drift, pictures, base, own)
        scenes = {name: _regions(name, own) for name in plan.scenes}
        scores.append(ModelScores(one.name, one.kind, one.digest or None, concepts, drift, scenes))
    return scores


def _drift(
    table: Recipe, pictures: Pictures, base: Pictures, own: Mapping[str, Findings]
) -> DriftScores:
    """Prompt by prompt: large pictures do not all fit into memory."""
    rows = ((pictures.row(table, prompt), base.row(table, prompt)) for prompt in table.prompts)
    moved_PS = torch.stack([squared_drift(*pair) for pair in rows])
    features = _means({scorer: one.drift_PS for scorer, one in own.items()})
    return DriftScores(moved_PS.numel(), mean_interval(moved_PS), features)


def _concept(
    name: str, number: int, drawn: Sequence[Drawn], found: Mapping[str, Found]
) -> ConceptScores:
    plan, own = drawn[number][0], by_scorer(found, number)
    table = plan.concepts[name]
    before = first_before([plan for plan, _ in drawn], name)
    kept: ByScorer = {}
    if plan.candidate.kind == "release" and before is not None:
        for scorer, one in own.items():
            if name in one.image:
                share = ratio_interval(one.image[name], found[scorer].models[before].image[name])
                kept |= {} if share is None else {scorer: share}
    return ConceptScores(
        pictures=len(table.prompts) * len(table.seeds),
        image=_means({k: one.image.get(name) for k, one in own.items()}),
        text=_means({k: one.text.get(name) for k, one in own.items()}),
        kept=kept,
    )


def _regions(scene: str, own: Mapping[str, Findings]) -> list[RegionScores]:
    regions = zip(*(one.scenes[scene] for one in own.values()), strict=True)
    return [
        RegionScores(
            concept=found[0].concept,
            image=_means(dict(zip(own, (one.image_PS for one in found), strict=True))),
            nearest=_means(dict(zip(own, (one.nearest_PS for one in found), strict=True))),
        )
        for found in regions
    ]


def _means(tables: Mapping[str, torch.Tensor | None]) -> ByScorer:
    return {k: mean_interval(table) for k, table in tables.items() if table is not None}
