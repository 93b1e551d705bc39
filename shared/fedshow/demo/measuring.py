"""Whether the pictures show who they should, by toyworld's own measuring encoder."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from fedshow.pictures import picture_files
from fedshow.sampling.model import Model
from fedshow.sampling.regions import Region
from fedshow.scoring.prompts import TOYWORLD_PROMPTS, said_of
from fedshow.toyworld.encoder import ToyworldEncoder
from fedshow.toyworld.heldout import HELDOUT, draw_heldout


@dataclass(frozen=True)
class Reference:
    """What one concept's private pictures look like to the encoder."""

    name: str
    features: Tensor
    """`[N, D]`, unit length."""

    def similarity(self, features: Tensor) -> Tensor:
        """Mean cosine of each of `features [B, D]` to the private pictures, `[B]`."""
        return (features @ self.features.T).mean(1)


def reference(name: str, folder: Path, encoder: ToyworldEncoder) -> Reference:
    """The reference made from a folder of private pictures."""
    images = [Image.open(file).convert("RGB") for file in picture_files(folder)]
    return Reference(name, encoder.identity(images))


def held_out_references(encoder: ToyworldEncoder) -> list[Reference]:
    """References of every held-out character, drawn here: the crowd that nobody should be taken for."""
    return [
        Reference(
            name, encoder.identity([p.image for p, _ in draw_heldout(name, 4, random.Random(1))])
        )
        for name in HELDOUT
    ]


def prompts_for(name: str) -> list[str]:
    """The twenty prompts with one concept's name."""
    return said_of(TOYWORLD_PROMPTS, f"<{name}>")


@torch.no_grad()
def identities(
    model: Model, concept: Reference, encoder: ToyworldEncoder, seeds: Sequence[int]
) -> list[float]:
    """Cosines to the private pictures, of 20 prompts with each seed; 1 is the same character."""
    scores: list[float] = []
    for seed in seeds:
        images = model(prompts_for(concept.name), seed=seed).images
        scores += concept.similarity(encoder.identity(images)).tolist()
    return scores


def side_by_side(left: str, right: str, place: str) -> tuple[str, list[Region]]:
    """A joint prompt and its two regions.

    Each region's prompt tells of the whole layout too, with its own character in both places:
    "a <left>" alone would ask for one large figure in the middle of the picture.
    """

    def pair(first: str, second: str) -> str:
        return f"a <{first}> to the left of a <{second}> {place}"

    regions = [
        Region(box=(0.0, 0.0, 0.5, 1.0), prompt=pair(left, left)),
        Region(box=(0.5, 0.0, 1.0, 1.0), prompt=pair(right, right)),
    ]
    return pair(left, right), regions


def crop(image: Image.Image, region: Region) -> Image.Image:
    """The square in a region where toyworld stands its figures: as wide as the region, 58 % down."""
    assert region.box is not None
    left, _, right, _ = region.box
    side = (right - left) * image.width
    top = min(max(0.58 * image.height - side / 2, 0), image.height - side)
    box = (left * image.width, top, right * image.width, top + side)
    return image.crop(tuple(round(edge) for edge in box))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Presence:
    """Whether a joint picture shows who it should."""

    both: bool
    """In every region a real character of the right kind, nearer to its own concept than to the other."""

    nearest: bool
    """Moreover nobody of the whole crowd of held-out characters is nearer: also the details are right."""


def present(
    image: Image.Image,
    regions: Sequence[Region],
    wanted: Sequence[Reference],
    crowd: Sequence[Reference],
    encoder: ToyworldEncoder,
) -> Presence:
    """Who is in the regions of a picture that should show `wanted`, one character in each."""
    crops = [crop(image, region) for region in regions]
    features = encoder.identity(crops)
    kinds = [HELDOUT[known.name].kind for known in wanted]
    right = bool((encoder.realness(crops) > 0.5).all())
    right &= list(encoder.attributes(crops)["kind"].labels) == kinds
    strangers = [known for known in crowd if known.name not in {w.name for w in wanted}]
    return Presence(
        both=right and _nearest(features, wanted),
        nearest=right and _nearest(features, [*wanted, *strangers]),
    )


def _nearest(features: Tensor, known: Sequence[Reference]) -> bool:
    """Whether feature i is nearest to reference i, for all i."""
    scores = torch.stack([reference.similarity(features) for reference in known])
    return scores.argmax(0).tolist() == list(range(len(features)))
