"""How much a picture shows who it should (identity) and what it should (text)."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from PIL.Image import Image
from torch import Tensor

from fedshow.families import Base
from fedshow.families.locating import TOYWORLD
from fedshow.toyworld.captions import PLACE_PHRASES
from fedshow.toyworld.encoder import LABELS, Attribute, load_encoder
from fedshow.toyworld.world import KINDS


class Scorer(Protocol):
    """Measures pictures; whatever the encoder, more is better and 1 the most there is."""

    @property
    def name(self) -> str:
        """What the scores were measured with: numbers of two names never compare."""

    def features(self, images: Sequence[Image]) -> Tensor:
        """`[N, D]` of unit length; two pictures of one thing have a cosine near 1."""

    def text_scores(self, images: Sequence[Image], texts: Sequence[str]) -> Tensor | None:
        """`[N]`, how much each picture shows what its text says; None when it cannot tell."""


def scorer_of(base: Base, folder: Path | None = None, device: str | None = None) -> Scorer | None:
    """The CLIP, DINOv2 or ArcFace model in `folder`; else the base's own; None when it has none.

    The former on the device, which is the base's unless another is named. Raises InvalidInput when there
    is no such model in the folder.
    """
    if folder is not None:
        from fedshow.scoring.encoders import open_encoder

        return open_encoder(folder, torch.device(device) if device else base.device)
    return own_scorer(base.card.name)


def own_scorer(base: str) -> Scorer | None:
    """The scorer that comes with the base of this public name; None for all but toyworld."""
    return ToyworldScorer() if base == TOYWORLD else None


def reference_features(scorer: Scorer, images: Iterable[Image]) -> Tensor:
    """`[M, D]` of the concept's own pictures, one in memory at a time: they may be large."""
    return torch.cat([scorer.features([image]) for image in images])


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
