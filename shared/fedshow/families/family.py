"""The seam every base-model family fills in."""

from typing import Any, Protocol

from torch import nn


class Family(Protocol):
    """How one kind of base is adapted; everything else asks here and never branches on a name."""

    name: str

    def adapted_layers(self, components: dict[str, nn.Module]) -> dict[str, nn.Linear]:
        """`<component>.<module>` to the linear layers that take adapters, names as in concept files."""
        ...

    def slotted_layers(self, denoiser: nn.Module) -> list[tuple[nn.Module, int]]:
        """Cross-attention modules in execution order (down, mid, up), each with its token slot."""
        ...

    def self_attention(self, denoiser: nn.Module) -> list[nn.Module]:
        """Modules in which every place of the picture looks at every other."""
        ...

    def is_self_attention(self, layer: str) -> bool:
        """Whether the layer belongs to the denoiser's self-attention: its inputs name no concept."""
        ...

    def is_cross_attention(self, layer: str) -> bool:
        """Whether the layer belongs to the denoiser's cross-attention: what it misses of a concept shows in
        pictures.
        """
        ...

    def input_of(self, layer: str) -> str:
        """Name of the input that `layer` reads; layers that read the same input share one Gram matrix."""
        ...

    def keys_of(self, layer: str) -> str | None:
        """Name of the keys that the queries of `layer` meet; None for all but cross-attention's queries."""
        ...


class Tokenizer(Protocol):
    """The part of a CLIP tokenizer that fedshow uses."""

    model_max_length: int
    eos_token_id: int

    def add_tokens(self, tokens: list[str]) -> int: ...
    def convert_tokens_to_ids(self, token: str) -> int: ...
    def __call__(self, text: Any, **options: Any) -> Any: ...
    def __len__(self) -> int: ...
