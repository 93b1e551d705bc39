"""What is no character: pictures that a measuring encoder must not be fooled by."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Spoiler = Callable[[Tensor, torch.Generator], Tensor]


def spoil(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture turned into one that keeps its colours and little else; N × 3 × H × W."""
    parts = pixels.tensor_split(len(SPOILERS))
    spoiled = [s(p, generator) for s, p in zip(SPOILERS, parts, strict=True) if len(p)]
    return torch.cat(spoiled).clamp(-1, 1)


def coloured_noise(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Noise with the mean colour and spread of the picture's middle."""
    size = pixels.shape[-1]
    middle = pixels[..., size // 3 : -size // 4, size // 3 : -size // 3]
    mean, spread = middle.mean((2, 3), keepdim=True), middle.std((2, 3), keepdim=True)
    return mean + spread * _normal(pixels, generator)


def noisy_blob(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """The picture with a soft coloured blob of noise where the character was."""
    axis = torch.linspace(-1, 1, pixels.shape[-1])
    distance = (axis[:, None] - 0.15).square() + axis[None].square()
    inside = torch.sigmoid((0.45 - distance) * 12)
    rough = coloured_noise(pixels, generator)
    blob = F.avg_pool2d(rough, 3, 1, 1)
    return inside * blob + (1 - inside) * blurred(pixels, 4.0)


def shuffled_patches(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """The picture's 8 × 8 patches in another order."""
    number, side = len(pixels), pixels.shape[-1]
    patches = F.unfold(pixels, 8, stride=8)
    order = torch.rand(number, patches.shape[-1], generator=generator).argsort(1)
    mixed = patches.gather(2, order[:, None].expand(-1, patches.shape[1], -1))
    return F.fold(mixed, side, 8, stride=8)


def shuffled_pixels(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """The picture's 4 × 4 patches in another order: texture without shape."""
    number, side = len(pixels), pixels.shape[-1]
    patches = F.unfold(pixels, 4, stride=4)
    order = torch.rand(number, patches.shape[-1], generator=generator).argsort(1)
    mixed = patches.gather(2, order[:, None].expand(-1, patches.shape[1], -1))
    return F.fold(mixed, side, 4, stride=4)


def heavy_blur(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """The picture so blurred that only colours are left."""
    return blurred(pixels, 3.0 + 2.0 * float(torch.rand(1, generator=generator)))


def drowned(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """The picture under noise as strong as itself."""
    return 0.4 * pixels + 0.6 * _normal(pixels, generator)


def upside_down(pixels: Tensor, _generator: torch.Generator) -> Tensor:
    """The upper half below the lower half: parts without a whole."""
    top, bottom = pixels.chunk(2, dim=2)
    return torch.cat([bottom, top], dim=2)


def blurred(pixels: Tensor, deviation: float) -> Tensor:
    """The pictures under a Gaussian blur of that many pixels."""
    reach = max(1, round(2.5 * deviation))
    steps = torch.arange(-reach, reach + 1, dtype=pixels.dtype)
    kernel = torch.exp(-0.5 * (steps / deviation).square())
    kernel = (kernel / kernel.sum()).to(pixels.device)
    rows = kernel.view(1, 1, 1, -1).repeat(3, 1, 1, 1)
    padded = F.pad(pixels, (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, rows, groups=3), rows.transpose(2, 3), groups=3)


def _normal(pixels: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(pixels.shape, generator=generator).to(pixels)


SPOILERS: tuple[Spoiler, ...] = (
    coloured_noise,
    noisy_blob,
    shuffled_patches,
    shuffled_pixels,
    heavy_blur,
    drowned,
    upside_down,
)
