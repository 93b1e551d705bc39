"""What one scorer finds in the pictures of all models.

Shapes: P prompts, S seeds, M reference pictures, D width of a feature.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fedshow.evaluation.features import Features
from fedshow.evaluation.lineup import Lineup, Scene
from fedshow.evaluation.pictures import Pictures
from fedshow.evaluation.plans import Plan
from fedshow.evaluation.references import reference_pictures
from fedshow.sampling.judging import crop
from fedshow.scoring.alignment import (
    alignment_among,
    feature_drift,
    image_alignment,
    region_alignment,
)
from fedshow.scoring.scorers import reference_features

Drawn = tuple[Plan, Pictures]


@dataclass(frozen=True)
class RegionFindings:
    """What a scene's region shows, over its seeds."""

    concept: str
    image_PS: Tensor
    nearest_PS: Tensor
    """1 where no other concept with references is nearer."""


@dataclass(frozen=True)
class Findings:
    """One model's scores as tables `[P, S]`, by concept."""

    image: dict[str, Tensor] = field(default_factory=dict)
    text: dict[str, Tensor] = field(default_factory=dict)
    drift_PS: Tensor | None = None
    scenes: dict[str, list[RegionFindings]] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """All that one scorer says."""

    models: Sequence[Findings]
    """In the order in which they were drawn."""

    among: Mapping[str, float]
    """By concept, how alike its own pictures are: where image alignment ends."""


class Measuring:
    """One scorer at work."""

    def __init__(self, lineup: Lineup, features: Features, on_pictures: Callable[[int], None]):
        self.lineup, self.features, self.on_pictures = lineup, features, on_pictures
        self.references = {
            name: reference_features(features.scorer, reference_pictures(folder))
            for name, folder in lineup.references.items()
        }

    def __call__(self, drawn: Sequence[Drawn]) -> Found:
        """Of every model, and of the references."""
        base = next((one for one in drawn if one[0].candidate.kind == "base"), None)
        of_base = None if base is None else self._drift_features(*base)
        models = [self._findings(plan, pictures, of_base) for plan, pictures in drawn]
        among = {name: alignment_among(reference) for name, reference in self.references.items()}
        return Found(models, {name: value for name, value in among.items() if value is not None})

    def _findings(self, plan: Plan, pictures: Pictures, of_base_PSD: Tensor | None) -> Findings:
        found = Findings(drift_PS=self._drift(plan, pictures, of_base_PSD))
        for name, table in plan.concepts.items():
            looks = self.features.of(pictures, table, self.lineup.classes, self.on_pictures)
            if (reference := self.references.get(name)) is not None:
                found.image[name] = _image_scores(looks.features_PSD, reference)
            if looks.text_PS is not None:
                found.text[name] = looks.text_PS
        for scene in self.lineup.scenes:
            if scene.name in plan.scenes:
                found.scenes[scene.name] = self._regions(scene, plan, pictures)
        return found

    def _drift(self, plan: Plan, pictures: Pictures, of_base_PSD: Tensor | None) -> Tensor | None:
        if of_base_PSD is None or plan.candidate.kind == "base":
            return None
        own_PSD = self._drift_features(plan, pictures)
        if own_PSD is None:
            return None
        return feature_drift(own_PSD.flatten(0, 1), of_base_PSD.flatten(0, 1)).view(
            own_PSD.shape[:2]
        )

    def _drift_features(self, plan: Plan, pictures: Pictures) -> Tensor | None:
        if plan.drift is None:
            return None
        looks = self.features.of(pictures, plan.drift, self.lineup.classes, self.on_pictures)
        return looks.features_PSD

    def _regions(self, scene: Scene, plan: Plan, pictures: Pictures) -> list[RegionFindings]:
        """Of those regions whose concept has references."""
        regions = zip(scene.recipe.regions, scene.concepts, strict=True)
        known = [(region, name) for region, name in regions if name in self.references]
        images = pictures.of(plan.scenes[scene.name])
        self.on_pictures(len(images))
        if not known:
            return []
        names = [str(name) for _, name in known]
        rows = []
        for image in images:
            crops = self.features.scorer.features([crop(image, region) for region, _ in known])
            rows.append(region_alignment(crops, names, self.references))
        own_SR = torch.stack([own for own, _ in rows])
        nearest_SR = torch.tensor([nearest for _, nearest in rows], dtype=torch.float64)
        return [
            RegionFindings(name, own_SR[:, k][None], nearest_SR[:, k][None])
            for k, name in enumerate(names)
        ]


def _image_scores(features_PSD: Tensor, reference_MD: Tensor) -> Tensor:
    scores = image_alignment(features_PSD.flatten(0, 1), reference_MD)
    return scores.view(features_PSD.shape[:2])


def first_before(plans: Sequence[Plan], name: str) -> int | None:
    """The number of the plan that draws a concept before any fusion; None when it was not given."""
    numbers = (k for k, plan in enumerate(plans) if plan.candidate.kind == "concept")
    return next((k for k in numbers if name in plans[k].concepts), None)


def by_scorer(found: Mapping[str, Found], number: int) -> dict[str, Findings]:
    """One model's findings of every scorer."""
    return {scorer: one.models[number] for scorer, one in found.items()}
