"""The picture sizes that a base is taught with: equal area, its own steps, nothing stretched."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedshow.families import Base

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Frame:
    """What a base can take: pictures of about `edge` x `edge` pixels whose edges are `multiple`s."""

    edge: int
    multiple: int

    @classmethod
    def of(cls, base: "Base") -> "Frame":
        """The frame of an opened base."""
        return cls.of_configs(base.denoiser.config, base.vae.config)

    @classmethod
    def of_configs(cls, unet: Mapping[str, Any], vae: Mapping[str, Any]) -> "Frame":
        """From the two `config.json`: each block but the last halves the picture, or patches cut it."""
        factor = 2 ** (len(vae["block_out_channels"]) - 1)
        coarse = unet.get("patch_size") or 2 ** (len(unet["down_block_types"]) - 1)
        return cls(int(unet["sample_size"]) * factor, factor * coarse)

    def sizes(self, aspect: float) -> list[Size]:
        """Every size of about the base's area whose longer edge is at most `aspect` times the shorter."""
        square = max(1, round(self.edge / self.multiple))
        found = {(square, square)}
        for short in range(1, square):
            long = round((self.edge / self.multiple) ** 2 / short)
            if long <= aspect * short:
                found |= {(short, long), (long, short)}
        return sorted((w * self.multiple, h * self.multiple) for w, h in found)

    def size_for(self, picture: Size, aspect: float) -> Size:
        """The size of the nearest proportions."""
        wanted = math.log(picture[0] / picture[1])
        return min(self.sizes(aspect), key=lambda size: abs(math.log(size[0] / size[1]) - wanted))
