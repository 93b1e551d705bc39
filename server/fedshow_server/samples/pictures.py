"""Which pictures are drawn of a concept, and how they are kept; needs no torch."""

import io
from dataclasses import dataclass
from hashlib import sha256

from PIL import Image

from fedshow_server.store.samples import Sample

PROMPTS = ("a <{0}>", "a <{0}> on the beach")
"""Short enough for the embedded base, and of a place that it and everyone knows."""

SCALES = (0.0, 0.7, 1.0)
SEED = 1
OTHER_SEEDS = (1001, 1002)
"""Pictures from these, at full scale, are what the concept is compared with."""

LONGEST_EDGE = 512
MOST_BYTES = 64 << 10
LOSSLESS_PIXELS = 128 * 128
"""Pictures of so few pixels are kept as they are, for lossy coding would blur them."""
QUALITIES = (90, 75, 50, 25)
SMALL_EDGE, SMALL_QUALITY = 256, 75
"""Of what lists show."""


@dataclass(frozen=True)
class Wanted:
    """One picture to draw."""

    number: int
    prompt: str
    scale: float
    seed: int = SEED

    def kept(self, image: Image.Image, steps: int) -> Sample:
        """The picture as it goes into the store."""
        content = encode(image)
        width, height = decode(content).size
        return Sample(
            **vars(self),
            steps=steps,
            width=width,
            height=height,
            sha256=sha256(content).hexdigest(),
            content=content,
        )


def pictures_of(name: str) -> list[Wanted]:
    """Every prompt at every scale, scale by scale."""
    asked = [(scale, prompt.format(name)) for scale in SCALES for prompt in PROMPTS]
    return [Wanted(number, prompt, scale) for number, (scale, prompt) in enumerate(asked)]


def encode(image: Image.Image) -> bytes:
    """A WebP file of nothing but pixels: at most `MOST_BYTES`, no edge longer than `LONGEST_EDGE`."""
    small = image.convert("RGB")
    small.thumbnail((LONGEST_EDGE, LONGEST_EDGE))
    if small.width * small.height <= LOSSLESS_PIXELS:
        return _webp(small, lossless=True)
    while True:
        for quality in QUALITIES:
            if len(content := _webp(small, quality=quality)) <= MOST_BYTES:
                return content
        small.thumbnail((small.width // 2, small.height // 2))


def smaller(content: bytes) -> bytes:
    """The picture for a list: no edge longer than `SMALL_EDGE`; one that is small already as it is."""
    image = decode(content)
    if max(image.size) <= SMALL_EDGE:
        return content
    image.thumbnail((SMALL_EDGE, SMALL_EDGE))
    return _webp(image, quality=SMALL_QUALITY)


def decode(content: bytes) -> Image.Image:
    """The picture of a file that `encode` made."""
    with Image.open(io.BytesIO(content), formats=("WEBP",)) as opened:
        return opened.convert("RGB")


def _webp(image: Image.Image, **how: int | bool) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", exif=b"", **how)
    return file.getvalue()
