"""How much a picture shows who it should (identity) and what it should (text)."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from PIL.Image import Image
from torch import Tensor

from fedshow.errors import InvalidInput
from fedshow.families import Base
from fedshow.families.locating import TOYWORLD
from fedshow.toyworld.captions import PLACE_PHRASES
from fedshow.toyworld.encoder import LABELS, Attribute, load_encoder
from fedshow.toyworld.world import KINDS
from fedshow_client.tuning.watching.settings import WatchSettings


class Scorer(Protocol):
    """Measures pictures; whatever the encoder, more is better and 1 the most there is."""

    @property
    def name(self) -> str:
        """What the scores were measured with: numbers of two names never compare."""

    def features(self, images: Sequence[Image]) -> Tensor:
        """`[N, D]` of unit length; two pictures of one thing have a cosine near 1."""

    def text_scores(self, images: Sequence[Image], texts: Sequence[str]) -> Tensor | None:
        """`[N]`, how much each picture shows what its text says; None when it cannot tell."""


def scorer_for(base: Base, settings: WatchSettings) -> Scorer | None:
    """The scorer that the settings name; else the base's own; None when it has none.

    Raises InvalidInput when there is no scorer in the folder named, or none at all and the settings
    want to stop by scores.
    """
    if settings.scorer is not None:
        from fedshow_client.tuning.watching.encoders import open_encoder

        return open_encoder(settings.scorer, base.device)
    if base.card.name == TOYWORLD:
        return ToyworldScorer()
    if settings.patience:
        raise InvalidInput(
            f"--patience {settings.patience}: base {base.card.name} has no measuring encoder; "
            "name a CLIP or DINOv2 folder with --scorer"
        )
    return None


def identity_scores(features_ND: Tensor, reference_MD: Tensor) -> Tensor:
    """`[N]`, the mean cosine of each picture to all reference pictures."""
    return (features_ND @ reference_MD.T).mean(1)


class ToyworldScorer:
    """toyworld's own measuring encoder."""

    name = "toyworld"

    def __init__(self) -> None:
        self.encoder = load_encoder()

    def features(self, images: Sequence[Image]) -> Tensor:
        """Identity vectors."""
        return self.encoder.identity(images)

    def text_scores(self, images: Sequence[Image], texts: Sequence[str]) -> Tensor:
        """Probability that there is a character, of the kind and in the place that the text names."""
        read = self.encoder.attributes(images)
        found = self.encoder.realness(images).clone()
        for row, text in enumerate(texts):
            for attribute, label in named_in(text).items():
                found[row] *= _probability(read[attribute], attribute, label, row)
        return found


def named_in(text: str) -> dict[str, str]:
    """What a caption of toyworld says of kind and place."""
    words = text.split()
    kinds = [kind for kind in KINDS if kind in words]
    places = [
        place
        for place, phrases in PLACE_PHRASES.items()
        if any(phrase in text for phrase in phrases)
    ]
    found = {"kind": kinds[:1], "place": places[:1]}
    return {attribute: labels[0] for attribute, labels in found.items() if labels}


def _probability(read: Attribute, attribute: str, label: str, row: int) -> Tensor:
    return read.probabilities[row, LABELS[attribute].index(label)]


def reference_features(scorer: Scorer, images: Iterable[Image]) -> Tensor:
    """`[M, D]` of the private pictures, one in memory at a time: they may be large."""
    return torch.cat([scorer.features([image]) for image in images])
