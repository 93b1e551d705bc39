"""Text encoders as whole checkpoints hold them: CLIP as transformers has it, or as OpenCLIP does."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

TABLES = ("embeddings.token_embedding.weight", "token_embedding.weight")
"""The vocabulary's keys in both."""

LAYER = re.compile(r"encoder\.layers\.(\d+)\.(.+)")
ATTENTION = re.compile(r"self_attn\.([qkv])_proj\.(weight|bias)")
OPEN_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
OPEN_ENDS = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}


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
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in as_transformers(state).items():
        if name == "text_projection.weight":
            found["text_projection"] = value.T
        elif layer := LAYER.fullmatch(name):
            start, inner = f"transformer.resblocks.{layer[1]}", layer[2]
            if attention := ATTENTION.fullmatch(inner):
                parts.setdefault(f"{start}.attn.in_proj_{attention[2]}", {})[attention[1]] = value
            else:
                module, _, kind = inner.rpartition(".")
                found[f"{start}.{OPEN_LAYER[module]}.{kind}"] = value
        else:
            found[OPEN_ENDS[name]] = value
    return found | {key: torch.cat([part[own] for own in "qkv"]) for key, part in parts.items()}
