"""Alignment and drift of pictures, as Custom Diffusion and Mix-of-Show measure them.

arXiv 2212.04488, section 4; arXiv 2305.18292, section 4.

Shapes: N pictures, M reference pictures of one concept, D width of a feature of unit length.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from fedshow.scoring.scorers import Scorer


def image_alignment(features_ND: Tensor, reference_MD: Tensor) -> Tensor:
    """`[N]`, the mean cosine of each picture to all reference pictures of its concept."""
    return (features_ND @ reference_MD.T).mean(1)


def alignment_among(reference_MD: Tensor) -> float | None:
    """Mean cosine of the reference pictures to one another, the most to be hoped for; None for one alone."""
    count = len(reference_MD)
    with_itself = float(image_alignment(reference_MD, reference_MD).mean())
    return None if count < 2 else (with_itself * count - 1) / (count - 1)


def text_alignment(
    scorer: Scorer, images: Sequence[Image], prompts: Sequence[str], classes: Mapping[str, str]
) -> Tensor | None:
    """`[N]`, how much each picture shows what its prompt says; None when the scorer knows no text.

    `classes` tells the class word of each concept: scorers do not know who `<potter>` is.
    """
    return scorer.text_scores(images, [with_class(prompt, classes) for prompt in prompts])


def with_class(prompt: str, classes: Mapping[str, str]) -> str:
    """The prompt with every `<name>` replaced by its concept's class word."""
    for name, class_word in classes.items():
        prompt = prompt.replace(f"<{name}>", class_word)
    return prompt


def region_alignment(
    features_RD: Tensor, names: Sequence[str], references: Mapping[str, Tensor]
) -> tuple[Tensor, list[bool]]:
    """How much the crop of each region shows its own concept, `[R]`, and whether that is the nearest one.

    `names` says whom each of R regions should show; nearest is taken among all `references [M, D]`.
    """
    known = list(references)
    scores_KR = torch.stack([image_alignment(features_RD, references[name]) for name in known])
    wanted_R = torch.tensor([known.index(name) for name in names])
    own_R = scores_KR.gather(0, wanted_R[None])[0]
    return own_R, (scores_KR.argmax(0) == wanted_R).tolist()


def squared_drift(images: Sequence[Image], of_base: Sequence[Image]) -> Tensor:
    """`[N]`, mean squared difference of pixels from 0 to 1 between two models' pictures of the same seeds."""
    pairs = zip(images, of_base, strict=True)
    return torch.tensor([_difference(image, other) for image, other in pairs])


def feature_drift(features_ND: Tensor, of_base_ND: Tensor) -> Tensor:
    """`[N]`, 1 less the cosine between two models' pictures of the same seeds."""
    return 1 - (features_ND * of_base_ND).sum(1)


def _difference(image: Image, other: Image) -> float:
    first, second = (np.asarray(one.convert("RGB"), np.float64) / 255 for one in (image, other))
    return float(((first - second) ** 2).mean())
