"""Which layers of a base take adapters, and which of them read the same input."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from fedshow.families.card import BaseCard
from fedshow.families.family import Family


@dataclass(frozen=True)
class Wiring:
    """Layers and inputs of one base, by the names its family gives them."""

    base_name: str
    base_sha256: str
    layers: Mapping[str, tuple[int, int]]
    """Layer to (width of its input, width of its output)."""

    readers: Mapping[str, tuple[str, ...]]
    """Input to the layers that read it."""

    @classmethod
    def of(cls, card: BaseCard, family: Family) -> Self:
        """The wiring of the base that `card` describes."""
        readers: dict[str, tuple[str, ...]] = {}
        for layer in sorted(card.layers):
            name = family.input_of(layer)
            readers[name] = (*readers.get(name, ()), layer)
        return cls(card.name, card.sha256, dict(card.layers), readers)

    def width(self, input_name: str) -> int:
        """How wide one input is."""
        return self.layers[self.readers[input_name][0]][0]
