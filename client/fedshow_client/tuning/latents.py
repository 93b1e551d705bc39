"""The images as the U-Net sees them: latents of augmented variants, made once before tuning.

Shapes: N images, K variants, C latent channels, h and w latent height and width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fedshow.families import Base
from fedshow_client.tuning.images import Candidate
from fedshow_client.tuning.recipe import Recipe


@dataclass(frozen=True)
class LatentSet:
    """Latents `[N, K, C, h, w]` and subject masks `[N, K, 1, h, w]` from 0 to 1."""

    latents: Tensor
    masks: Tensor
    masked: Tensor
    """`[N]`, whether the image came with a mask."""


@torch.no_grad()
def cache_latents(base: Base, images: Sequence[Candidate], recipe: Recipe) -> LatentSet:
    """Every image in `recipe.variants` versions through the VAE, scaled as the base expects."""
    generator = torch.Generator().manual_seed(recipe.seed)
    edge = base.sample_pixels
    latents, masks = [], []
    for image in images:
        pairs = [_variant(image, edge, recipe, generator) for _ in range(recipe.variants)]
        pixels = torch.stack([pixels for pixels, _ in pairs])
        latents.append(_encode(base, pixels))
        masks.append(torch.stack([mask for _, mask in pairs]))
    factor = base.pipeline.vae_scale_factor
    small = torch.nn.functional.avg_pool2d(torch.stack(masks).flatten(0, 1), factor)
    return LatentSet(
        torch.stack(latents),
        small.reshape(len(images), recipe.variants, *small.shape[1:]).to(base.device),
        torch.tensor([image.mask is not None for image in images], device=base.device),
    )


def _encode(base: Base, pixels: Tensor) -> Tensor:
    vae = base.pipeline.vae
    moments = vae.encode(pixels.to(base.device, vae.dtype)).latent_dist
    shift = vae.config.shift_factor or 0.0
    return ((moments.mean - shift) * vae.config.scaling_factor).float()  # type: ignore[no-any-return]


def _variant(
    image: Candidate, edge: int, recipe: Recipe, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One square crop `[3, edge, edge]` in -1..1 and its mask `[1, edge, edge]`, never stretched."""
    zoom, across, down, side = torch.rand(4, generator=generator).tolist()
    picture, mask = image.load(), image.load_mask()
    scale = edge / min(picture.size) * (1 + zoom * (recipe.zoom - 1))
    size = (max(edge, round(picture.width * scale)), max(edge, round(picture.height * scale)))
    x, y = round(across * (size[0] - edge)), round(down * (size[1] - edge))
    box = (x, y, x + edge, y + edge)
    pixels = _array(picture.resize(size, Image.Resampling.LANCZOS).crop(box)) * 2 - 1
    if mask is None:
        cut = torch.ones(1, edge, edge)
    else:
        cut = _array(mask.resize(size, Image.Resampling.BOX).crop(box))
    if recipe.flip and side < 0.5:
        return pixels.flip(-1), cut.flip(-1)
    return pixels, cut


def _array(image: Image.Image) -> Tensor:
    values = torch.from_numpy(np.array(image, dtype=np.float32)) / 255
    return values[None] if values.ndim == 2 else values.permute(2, 0, 1)
