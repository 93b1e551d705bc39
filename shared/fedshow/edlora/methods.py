"""The ways to teach a concept, as declarations: one trainer runs them all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from fedshow.concepts.header import MAX_RANK
from fedshow.edlora.adapters import Adapter, Adapters
from fedshow.errors import InvalidInput
from fedshow.families.family import Family


@dataclass(frozen=True)
class Word:
    """One token word of a concept: where its embedding starts and whether it learns."""

    start: Literal["noise", "class"]
    learned: bool = True


@dataclass(frozen=True)
class Method:
    """What tuning changes, and therefore everything that tells one method from another."""

    name: str
    source: str
    words: tuple[Word, ...]
    layered: bool
    """Whether a word has an embedding of its own for every slot."""

    adapts: Literal["attention", "context", "nothing"]
    """All attention layers, only the keys and values made of the prompt, or none."""

    whole: bool = False
    """Whole matrices change, not low-rank products."""

    def layers(self, family: Family, layers: Mapping[str, nn.Linear]) -> dict[str, nn.Linear]:
        """Those of the base's adaptable `layers` that this method changes."""
        found = {name: layer for name, layer in layers.items() if self._changes(family, name)}
        if not found and self.adapts != "nothing":
            raise InvalidInput(
                f"method {self.name!r} changes cross-attention, which family {family.name!r} has none of"
            )
        return found

    def _changes(self, family: Family, layer: str) -> bool:
        if self.adapts == "context":
            return family.input_of(layer).endswith(".context")
        return self.adapts == "attention"

    def rank(self, rank: int, layers: Mapping[str, nn.Linear]) -> int:
        """Rank of the adapters of `layers` when the recipe says `rank`; raises InvalidInput."""
        if not self.whole:
            return rank
        width = max(layer.in_features for layer in layers.values())
        if width > MAX_RANK:
            raise InvalidInput(
                f"method {self.name!r} changes whole matrices, which this base has too large: "
                f"{width} wide, limit {MAX_RANK}; use ed-lora or lora"
            )
        return width

    def adapters(
        self, layers: Mapping[str, nn.Linear], rank: int, alpha: float, generator: torch.Generator
    ) -> Adapters:
        """Adapters for `layers` that change nothing yet."""
        if self.whole:
            return Adapters({name: Adapter.whole(layer) for name, layer in layers.items()}, 1.0)
        fresh = {name: Adapter.fresh(layer, rank, generator) for name, layer in layers.items()}
        return Adapters(fresh, alpha / rank)


METHODS = {
    method.name: method
    for method in (
        Method(
            name="ed-lora",
            source="Mix-of-Show, arXiv 2305.18292, section 3.2",
            words=(Word("noise"), Word("class")),
            layered=True,
            adapts="attention",
        ),
        Method(
            name="lora",
            source="LoRA, arXiv 2106.09685, with one learnt word",
            words=(Word("class"),),
            layered=False,
            adapts="attention",
        ),
        Method(
            name="p-plus",
            source="P+, arXiv 2303.09522",
            words=(Word("class"),),
            layered=True,
            adapts="nothing",
        ),
        Method(
            name="custom-diffusion",
            source="Custom Diffusion, arXiv 2212.04488: a modifier word before the class word",
            words=(Word("noise"), Word("class", learned=False)),
            layered=False,
            adapts="context",
            whole=True,
        ),
        Method(
            name="textual-inversion",
            source="Textual inversion, arXiv 2208.01618",
            words=(Word("class"),),
            layered=False,
            adapts="nothing",
        ),
    )
}


def method_named(name: str) -> Method:
    """The method; raises InvalidInput naming those that exist."""
    if name not in METHODS:
        raise InvalidInput(f"method {name!r}: use {', '.join(METHODS)}")
    return METHODS[name]
