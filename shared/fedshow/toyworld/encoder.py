"""The measuring encoder: who is in a picture, what it looks like, and whether it is anyone at all.

Identity is a unit vector; the cosine of two of them is near 1 for two pictures of
one character and falls as kind, colour, pattern, accessory and mark differ. Report
it only beside `realness`: coloured noise has no identity worth measuring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from fedshow.toyworld.world import ACCESSORIES, COLOURS, KINDS, MARKS, PATTERNS, PLACES

SIZE = 32
IDENTITY_WIDTH = 64
ENCODER_FILE = Path(__file__).parent / "weights" / "encoder" / "model.safetensors"
LABELS: dict[str, tuple[str, ...]] = {
    "kind": KINDS,
    "colour": tuple(COLOURS),
    "pattern": PATTERNS,
    "accessory": ACCESSORIES,
    "mark": MARKS,
    "place": PLACES,
    "count": ("0", "1", "2"),
}
Images = Sequence[Image.Image] | Tensor


@dataclass(frozen=True)
class Attribute:
    """The label read off each picture and the probabilities of all labels, N × labels."""

    labels: tuple[str, ...]
    probabilities: Tensor


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, at half the input's resolution."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, inner), nn.GroupNorm(8, outer)
        self.conv1 = nn.Conv2d(inner, outer, 3, padding=1)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1)
        self.shortcut = nn.Conv2d(inner, outer, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, half as high and wide."""
        x = F.avg_pool2d(x, 2)
        hidden = self.conv1(F.silu(self.norm1(x)))
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return hidden + self.shortcut(x)  # type: ignore[no-any-return]


class ToyworldEncoder(nn.Module):
    """Identity vectors, attributes and realness of pictures or of crops around a character."""

    def __init__(self, widths: Sequence[int] = (32, 64, 128, 192)) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1)
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.blocks = nn.Sequential(*(ResidualBlock(inner, outer) for inner, outer in pairs))
        self.norm = nn.GroupNorm(8, widths[-1])
        # The last map is 4 × 4; kept whole, it says where on the figure something is.
        self.hidden = nn.Linear(widths[-1] * 16, 256)
        self.identity_head = nn.Linear(256, IDENTITY_WIDTH)
        self.realness_head = nn.Linear(256, 1)
        self.attribute_heads = nn.ModuleDict(
            {name: nn.Linear(256, len(labels)) for name, labels in LABELS.items()}
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """The shared features, N × 256, of pixels N × 3 × 32 × 32 from -1 to 1."""
        features = F.silu(self.norm(self.blocks(self.stem(pixels))))
        return F.silu(self.hidden(features.flatten(1)))

    @torch.no_grad()
    def identity(self, images: Images) -> Tensor:
        """N × 64 unit vectors."""
        return F.normalize(self.identity_head(self(self._pixels(images))), dim=-1)

    @torch.no_grad()
    def attributes(self, images: Images) -> dict[str, Attribute]:
        """The predicted kind, colour, pattern, accessory, mark, place and count."""
        features = self(self._pixels(images))
        read: dict[str, Attribute] = {}
        for name, head in self.attribute_heads.items():
            probabilities = head(features).softmax(-1)
            labels = tuple(LABELS[name][int(i)] for i in probabilities.argmax(-1))
            read[name] = Attribute(labels, probabilities)
        return read

    @torch.no_grad()
    def realness(self, images: Images) -> Tensor:
        """For each picture the probability, 0 to 1, that it shows a character at all."""
        probabilities: Tensor = self.realness_head(self(self._pixels(images))).sigmoid()[:, 0]
        return probabilities

    def _pixels(self, images: Images) -> Tensor:
        return to_pixels(images).to(self.stem.weight)


def to_pixels(images: Images) -> Tensor:
    """Pictures as N × 3 × 32 × 32 floats from -1 to 1.

    Takes PIL pictures of any size, or one tensor N × 3 × H × W, of bytes or of floats
    from 0 to 1.
    """
    if not isinstance(images, Tensor):
        size = (SIZE, SIZE)
        small = [image.convert("RGB").resize(size, Image.Resampling.BICUBIC) for image in images]
        stacked = np.stack([np.asarray(image) for image in small])
        images = torch.from_numpy(stacked).permute(0, 3, 1, 2)
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    pixels = images.float() / scale * 2 - 1
    if pixels.shape[-2:] != (SIZE, SIZE):
        pixels = F.interpolate(
            pixels, (SIZE, SIZE), mode="bicubic", antialias=True, align_corners=False
        )
    return pixels.clamp(-1, 1)


def load_encoder(path: Path = ENCODER_FILE) -> ToyworldEncoder:
    """The shipped encoder in float32, ready to measure."""
    encoder = ToyworldEncoder()
    encoder.load_state_dict({name: t.float() for name, t in load_file(path).items()})
    return encoder.eval().requires_grad_(False)
