"""How much a concept's pictures show the concept: by itself, and out of a release.

The server has no private pictures. What a concept draws by itself from other noise stands for them, so
the numbers tell what fusing costs, not how well the concept was taught. Everything is measured as it is
kept and shown: as a WebP file.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fedshow.sampling.model import Model
from fedshow.scoring.alignment import image_alignment
from fedshow.scoring.scorers import Scorer
from fedshow_server.samples.pictures import OTHER_SEEDS, PROMPTS, SCALES, decode, encode
from fedshow_server.store.samples import Measure, Sample


def measure_own(
    scorer: Scorer, name: str, model: Model, concept: str, pictures: Sequence[Sample]
) -> Measure:
    """What a concept's pictures measure, `model` being the base with the concept; `name` is the scorer's."""
    prompts = [prompt.format(concept) for prompt in PROMPTS]
    seeds, steps = OTHER_SEEDS, pictures[0].steps
    others = model(prompts, seed=seeds, n=len(seeds), steps=steps).images
    reference_ND = scorer.features([_as_kept(image) for image in others])
    likeness_D = reference_ND.float().mean(0)
    own = [decode(picture.content) for picture in at_full_scale(pictures)]
    identity = _identity(scorer, own, likeness_D)
    return Measure(name, identity, likeness_D.cpu().numpy().tobytes())


def measure_fused(
    scorer: Scorer, model: Model, measure: Measure, pictures: Sequence[Sample]
) -> float:
    """What the same pictures measure, `model` being a release with the concept."""
    likeness_D = torch.from_numpy(np.frombuffer(measure.likeness, np.float32).copy())
    drawn = [
        model(picture.prompt, seed=picture.seed, steps=picture.steps).images[0]
        for picture in at_full_scale(pictures)
    ]
    return _identity(scorer, [_as_kept(image) for image in drawn], likeness_D)


def at_full_scale(pictures: Sequence[Sample]) -> list[Sample]:
    """Those that a release can draw, too."""
    return [picture for picture in pictures if picture.scale == SCALES[-1]]


def _identity(scorer: Scorer, images: Sequence[Image.Image], likeness_D: Tensor) -> float:
    features_ND = scorer.features(images).float().cpu()
    return float(image_alignment(features_ND, likeness_D[None]).mean())


def _as_kept(image: Image.Image) -> Image.Image:
    return decode(encode(image))
