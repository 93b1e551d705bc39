"""A CLIP text encoder as prompts and concept words meet it.

Shapes: B prompts, T tokens, D width of a token, P width of a projection.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fedshow.families.placing import computes_on


class Tokenizer(Protocol):
    """The part of a CLIP tokenizer that fedshow uses."""

    model_max_length: int
    eos_token_id: int

    def add_tokens(self, tokens: list[str]) -> int: ...
    def convert_tokens_to_ids(self, token: str) -> int: ...
    def __call__(self, text: Any, **options: Any) -> Any: ...
    def __len__(self) -> int: ...


LINEARS = ("q_proj", "k_proj", "v_proj", "out_proj")


def text_layers(components: Mapping[str, nn.Module]) -> dict[str, nn.Linear]:
    """All attention linears of the text encoders among a base's components, by keys of concept files."""
    return {
        f"{component}.text_model.{name.removeprefix('text_model.')}": module
        for component, encoder in components.items()
        if component.startswith("text_encoder")
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in LINEARS
    }


@dataclass(frozen=True)
class TextEncoder:
    """One of a base's text encoders with its tokenizer."""

    component: str
    """Its name in the pipeline and in concept files: `text_encoder`, `text_encoder_2`."""

    module: Any
    tokenizer: Tokenizer
    penultimate: bool = False
    """Whether the denoiser reads what goes into the last layer, not what comes out of it."""

    pools: bool = False
    """Whether the denoiser also gets one projected vector of the whole prompt."""

    @property
    def token_key(self) -> str:
        """What keys of this encoder's word rows begin with: `tokens`, `tokens_2`."""
        return self.component.replace("text_encoder", "tokens")

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return computes_on(self.module)

    @property
    def token_dim(self) -> int:
        """Width of its token embeddings."""
        return int(self.module.get_input_embeddings().weight.shape[1])

    def read(self, ids_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Features `[B, T, D]` as the denoiser reads them, and the last layer's, normed."""
        if not self.penultimate:
            features: Tensor = self.module(ids_BT)[0]
            return features, features
        found = self.module(ids_BT, output_hidden_states=True)
        return found.hidden_states[-2], found.last_hidden_state

    def pooled(self, last_BTD: Tensor, ends_B: Tensor) -> Tensor:
        """`[B, P]`: the last layer's features at each prompt's end, projected.

        Not the encoder's own: it may look for the highest id, and words of concepts have higher ones.
        """
        rows = torch.arange(len(last_BTD), device=last_BTD.device)
        pooled: Tensor = self.module.text_projection(last_BTD[rows, ends_B])
        return pooled
