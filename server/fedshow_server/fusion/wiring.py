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
    """Input to the layers that read it; keys to the query layer that meets them, `turned`."""

    queries: Mapping[str, str]
    """Layer of cross-attention's queries to the name of its keys."""

    @classmethod
    def of(cls, card: BaseCard, family: Family) -> Self:
        """The wiring of the base that `card` describes."""
        readers: dict[str, tuple[str, ...]] = {}
        queries = {}
        for layer in sorted(card.layers):
            name, keys = family.input_of(layer), family.keys_of(layer)
            readers[name] = (*readers.get(name, ()), layer)
            if keys is not None:
                queries[layer], readers[keys] = keys, (turned(layer),)
        return cls(card.name, card.sha256, dict(card.layers), readers, queries)

    @property
    def sides(self) -> list[str]:
        """Every layer, and the query layers turned, too, input after input."""
        return [layer for readers in self.readers.values() for layer in readers]

    def width(self, input_name: str) -> int:
        """How wide one input is."""
        return self.shape(self.readers[input_name][0])[0]

    def shape(self, layer: str) -> tuple[int, int]:
        """(width of its input, width of its output), also of a turned one."""
        width_in, width_out = self.layers[unturned(layer)]
        return (width_out, width_in) if layer not in self.layers else (width_in, width_out)


_TURNED = ".turned"


def turned(layer: str) -> str:
    """Name of a query layer's other side: transposed, it reads keys."""
    return layer + _TURNED


def unturned(layer: str) -> str:
    """Name of the layer itself, whichever side is meant."""
    return layer.removesuffix(_TURNED)
