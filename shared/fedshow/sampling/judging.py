"""Whom the regions of a picture show: measured against what the same model draws of each concept alone."""

from collections.abc import Sequence

import torch
from PIL.Image import Image
from torch import Tensor

from fedshow.concepts.names import mentioned
from fedshow.sampling.carried import Score
from fedshow.sampling.model import Model
from fedshow.sampling.recipe import Recipe
from fedshow.sampling.regions import Region
from fedshow.scoring.alignment import alignment_among, image_alignment
from fedshow.scoring.scorers import Scorer

Scores = list[list[Score | None]]
"""Of each picture one for each region."""

ALONE = "photo of a <{0}>"
PICTURES_ALONE = 4


class Judge:
    """Scores regions by concept; what a concept looks like alone is drawn once."""

    def __init__(self, model: Model, scorer: Scorer) -> None:
        self.model, self.scorer = model, scorer
        self._alone: dict[str, Tensor] = {}

    def __call__(self, images: Sequence[Image], recipe: Recipe) -> Scores:
        """Of each picture one score for each region; None for a region that names not just one concept."""
        wanted = [_only_concept(region, self.model) for region in recipe.regions]
        known = {name: self._known(name) for name in dict.fromkeys(wanted) if name is not None}
        return [self._scores(image, recipe.regions, wanted, known) for image in images]

    def _scores(
        self,
        image: Image,
        regions: Sequence[Region],
        wanted: Sequence[str | None],
        known: dict[str, Tensor],
    ) -> list[Score | None]:
        if not known:
            return [None] * len(regions)
        features_RD = self.scorer.features([crop(image, region) for region in regions])
        likeness = {name: _relative(features_RD, own_ND) for name, own_ND in known.items()}
        return [
            None
            if name is None
            else Score(
                concept=name,
                identity=round(float(likeness[name][row]), 4),
                nearest=max(likeness, key=lambda other: float(likeness[other][row])),
            )
            for row, name in enumerate(wanted)
        ]

    def _known(self, name: str) -> Tensor:
        """`[N, D]` of pictures of the concept alone."""
        if name not in self._alone:
            alone = Recipe(prompt=ALONE.format(name), n=PICTURES_ALONE)
            self._alone[name] = self.scorer.features(self.model.draw(alone).images)
        return self._alone[name]


def crop(image: Image, region: Region) -> Image:
    """What lies in the region's bounds."""
    left, top, right, bottom = region.bounds
    width, height = image.size
    box = (left * width, top * height, right * width, bottom * height)
    return image.crop(tuple(round(edge) for edge in box))  # type: ignore[arg-type]


def _only_concept(region: Region, model: Model) -> str | None:
    names = mentioned(region.prompt, model.tokens.concepts)
    return names[0] if len(names) == 1 else None


def _relative(features_RD: Tensor, own_ND: Tensor) -> Tensor:
    """Mean cosine to a concept's own pictures, over the mean of these among themselves."""
    among = alignment_among(own_ND)
    assert among is not None
    return image_alignment(features_RD, own_ND) / max(among, torch.finfo(own_ND.dtype).eps)
