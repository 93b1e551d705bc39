"""The images as the denoiser sees them: augmented variants through the VAE once, before tuning.

Shapes: N images of one bucket, K variants, C latent channels, h and w latent height and width.
"""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from fedshow.families.placing import visiting
from fedshow_client.tuning.data.augmentation import Crop, reduction
from fedshow_client.tuning.data.folder import Candidate
from fedshow_client.tuning.data.frames import Frame, Size
from fedshow_client.tuning.data.planning import crops_of
from fedshow_client.tuning.placing import place_to_encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedshow.families import Base
    from fedshow_client.tuning.recipe import Recipe

ENCODED_PIXELS = 1 << 20
"""That many at once go through the VAE (four pictures of 512 x 512), so that memory stays low."""


@dataclass(frozen=True)
class Bucket:
    """The images that share one size, in K variants each."""

    images: tuple[int, ...]
    """Their numbers among the accepted images."""

    mean: Tensor
    """`[N, K, C, h, w]`; with `std` shifted and scaled as the denoiser expects."""

    std: Tensor
    """`[N, K, C, h, w]`: a step draws mean + std * noise."""

    subject: Tensor
    """`[N, K, 1, h, w]` from 0 to 1; all 1 without a mask."""

    valid: Tensor
    """`[N, K, 1, h, w]`, 1 where there is picture and 0 where it was padded."""

    masked: Tensor
    """`[N]`, whether the image came with a mask."""

    def to(self, device: torch.device) -> Self:
        """The same there."""
        tensors = (self.mean, self.std, self.subject, self.valid, self.masked)
        return type(self)(self.images, *(tensor.to(device) for tensor in tensors))


@dataclass(frozen=True)
class LatentSet:
    """All images of a run, by size."""

    buckets: list[Bucket]

    @property
    def variants(self) -> int:
        """How many versions of each image there are."""
        return self.buckets[0].mean.shape[1]


def cache_latents(
    base: "Base",
    images: Sequence[Candidate],
    recipe: "Recipe",
    seed: int,
    work: Path | None = None,
    device: str | None = None,
) -> LatentSet:
    """Every image in `recipe.variants` versions, encoded; taken from the folder `work` when it has them.

    On the device, which is the base's unless another is named.
    """
    from fedshow_client.tuning.data.keeping import kept

    device = device or str(base.device)

    def make() -> LatentSet:
        return encode_all(base, images, recipe, seed, device)

    return kept(work, base, images, recipe, seed, torch.device(device), make)


def encode_all(
    base: "Base",
    images: Sequence[Candidate],
    recipe: "Recipe",
    seed: int,
    device: str | None = None,
) -> LatentSet:
    """Every image in its variants through the VAE, by bucket; of the base, no other part need be there."""
    device = device or str(base.device)
    frame = Frame.of(base)
    by_size: dict[Size, list[int]] = {}
    for number, image in enumerate(images):
        by_size.setdefault(frame.size_for(image.size, recipe.aspect), []).append(number)
    where, at_once = place_to_encode(base, device, ENCODED_PIXELS)
    with _precise(base.vae), visiting(base.vae, torch.device(where)):
        buckets = [
            _bucket(base, images, members, frame, recipe, seed, at_once)
            for members in by_size.values()
        ]
    return LatentSet([bucket.to(torch.device(device)) for bucket in buckets])


def _bucket(
    base: "Base",
    images: Sequence[Candidate],
    members: Sequence[int],
    frame: Frame,
    recipe: "Recipe",
    seed: int,
    at_once: int,
) -> Bucket:
    rows = [
        _encode_image(base, images[n], crops_of(images[n], n, frame, recipe, seed), at_once)
        for n in members
    ]
    mean, std, subject, valid = (torch.stack(parts) for parts in zip(*rows, strict=True))
    masked = torch.tensor([images[n].mask is not None for n in members])
    return Bucket(tuple(members), mean, std, subject, valid, masked)


def _encode_image(
    base: "Base", image: Candidate, crops: Sequence[Crop], at_once: int
) -> tuple[Tensor, ...]:
    """Mean, std, subject and valid of one image's variants, `[K, ...]` each."""
    reduced = reduction(crops)
    picture, mask = image.load().reduce(reduced), image.load_mask()
    mask = mask.reduce(reduced) if mask else None
    pixels = torch.stack([cut_picture(picture, crop, reduced) for crop in crops])
    subject = torch.stack([cut_mask(mask, crop, reduced) for crop in crops])
    valid = torch.stack([cut_valid(crop) for crop in crops])
    factor = base.factor
    mean, std = encode(base, pixels, at_once)
    whole = (F.avg_pool2d(valid, factor) == 1).float()
    return mean, std, F.avg_pool2d(subject, factor), whole


@torch.no_grad()
def encode(base: "Base", pixels: Tensor, at_once: int | None = None) -> tuple[Tensor, Tensor]:
    """Mean and std `[K, C, h, w]` of pictures `[K, 3, H, W]` in -1..1, as the denoiser expects them.

    So many pixels go through the VAE `at_once`, or one picture.
    """
    vae = base.vae
    count = max(1, (at_once or ENCODED_PIXELS) // (pixels.shape[-1] * pixels.shape[-2]))
    means, stds = [], []
    for part in torch.split(pixels, count):
        found = vae.encode(part.to(vae.device, vae.dtype)).latent_dist
        means.append(found.mean.float())
        stds.append(found.std.float())
    shift, scale = vae.config.shift_factor or 0.0, vae.config.scaling_factor
    return (torch.cat(means) - shift) * scale, torch.cat(stds) * scale


def cut_picture(picture: Image.Image, crop: Crop, reduced: int = 1) -> Tensor:
    """The crop as `[3, height, width]` in -1..1; beyond the picture its border goes on."""
    values = np.asarray(crop.cut(picture, Image.Resampling.LANCZOS, reduced), dtype=np.float32)
    across, down = _margins(crop)
    padded = np.pad(values, (down, across, (0, 0)), mode="edge")
    tensor = torch.from_numpy(padded).permute(2, 0, 1) / 127.5 - 1
    return tensor.flip(-1) if crop.flipped else tensor


def cut_mask(mask: Image.Image | None, crop: Crop, reduced: int = 1) -> Tensor:
    """The crop of a mask as `[1, height, width]` in 0..1, 0 beyond the picture; all 1 without a mask."""
    if mask is None:
        return torch.ones(1, crop.frame[1], crop.frame[0])
    values = np.asarray(crop.cut(mask, Image.Resampling.BOX, reduced), dtype=np.float32)
    return _placed(values / np.float32(255), crop)


def cut_valid(crop: Crop) -> Tensor:
    """`[1, height, width]`, 1 where there is picture."""
    left, top, right, bottom = crop.place
    return _placed(np.ones((bottom - top, right - left), dtype=np.float32), crop)


def _placed(values: npt.NDArray[np.float32], crop: Crop) -> Tensor:
    """Values of the crop's place with 0 around them, mirrored like the crop."""
    across, down = _margins(crop)
    tensor = torch.from_numpy(np.pad(values, (down, across)))[None]
    return tensor.flip(-1) if crop.flipped else tensor


def _margins(crop: Crop) -> tuple[tuple[int, int], tuple[int, int]]:
    """Padding left and right, above and below."""
    left, top, right, bottom = crop.place
    return (left, crop.frame[0] - right), (top, crop.frame[1] - bottom)


@contextmanager
def _precise(vae: Any) -> "Iterator[None]":
    """Within the block the VAE works in float32: half precision would round every picture once more."""
    before = vae.dtype
    vae.to(torch.float32)
    try:
        yield
    finally:
        vae.to(before)
