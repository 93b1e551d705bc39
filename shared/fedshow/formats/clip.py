"""Text encoders as whole checkpoints hold them: CLIP as transformers has it, or as OpenCLIP does."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fedshow.families.openclip import openclip_place

TABLES = ("embeddings.token_embedding.weight", "token_embedding.weight")
"""The vocabulary's keys in both."""


def as_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A text encoder's weights without `text_model.`, which comes and goes with library versions."""
    return {
        name.removeprefix("text_model."): value
        for name, value in state.items()
        if value.is_floating_point()  # ids of positions are none of the weights
    }


def as_openclip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same by OpenCLIP's names: queries, keys and values in one matrix, the projection turned."""
    found: dict[str, Tensor] = {}
    thirds: dict[str, dict[int, Tensor]] = {}
    for name, value in as_transformers(state).items():
        place = openclip_place(name)
        if place.third is None:
            found[place.key] = value.T if place.turned else value
        else:
            thirds.setdefault(place.key, {})[place.third] = value
    return found | {key: torch.cat([part[n] for n in range(3)]) for key, part in thirds.items()}
