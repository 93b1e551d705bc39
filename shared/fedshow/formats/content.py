"""What a concept or a release teaches, in no program's format.

Shapes: O out, I in, R rank, S slots, D embedding width.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fedshow.concepts.keys import DOWN, UP
from fedshow.formats.about import About
from fedshow.releases.updates import MATRIX


@dataclass(frozen=True)
class LowRank:
    """The update of one layer: `alpha / rank * up_OR @ down_RI`."""

    down_RI: Tensor
    up_OR: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        """How many rows and columns the halves share."""
        return len(self.down_RI)

    @property
    def scale(self) -> float:
        """The factor before the product."""
        return self.alpha / self.rank

    @classmethod
    def of_matrix(cls, delta_OI: Tensor) -> "LowRank":
        """A whole matrix, exactly: one half is the identity."""
        outputs, inputs = delta_OI.shape
        identity = torch.eye(min(outputs, inputs), dtype=delta_OI.dtype)
        halves = (identity, delta_OI) if inputs <= outputs else (delta_OI, identity)
        return cls(*halves, alpha=float(len(identity)))

    def delta(self) -> Tensor:
        """The whole update `[O, I]`, float64."""
        return self.scale * (self.up_OR.double() @ self.down_RI.double())


@dataclass(frozen=True)
class Content:
    """Adapters and words, with what is to be said of them."""

    about: About
    layers: Mapping[str, LowRank]
    """By the layer's name in concept files."""

    tokens: Mapping[str, Tensor]
    """`tokens.<word>` (for a second text encoder `tokens_2.<word>`) to rows `[S, D]`."""

    def rows_of(self, word: str) -> dict[str, Tensor]:
        """What stands before the word in its keys, to its rows: `tokens` and perhaps `tokens_2`."""
        found = (key.partition(".") for key in self.tokens)
        return {place: self.tokens[f"{place}.{word}"] for place, _, name in found if name == word}

    def components(self) -> list[str]:
        """Those that have adapters: `unet`, `text_encoder`, …"""
        return sorted({layer.partition(".")[0] for layer in self.layers})

    def of_component(self, component: str) -> dict[str, LowRank]:
        """Its adapters by module name."""
        prefix = f"{component}."
        return {
            layer.removeprefix(prefix): pair
            for layer, pair in self.layers.items()
            if layer.startswith(prefix)
        }


def low_ranks(tensors: Mapping[str, Tensor], scale: float) -> Iterator[tuple[str, LowRank]]:
    """The layers among a concept's or a release's tensors; matrices become exact products."""
    for key, tensor in sorted(tensors.items()):
        if key.endswith(MATRIX):
            yield key.removesuffix(MATRIX), LowRank.of_matrix(tensor)
        elif key.endswith(DOWN):
            layer = key.removesuffix(DOWN)
            yield layer, LowRank(tensor, tensors[layer + UP], scale * len(tensor))
