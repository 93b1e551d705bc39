"""What OpenCLIP calls the weights of a text encoder, and how it lays them out; costs nothing to import."""

import re

from fedshow.families.stored import Place

LAYER = re.compile(r"encoder\.layers\.(\d+)\.(.+)")
ATTENTION = re.compile(r"self_attn\.([qkv])_proj\.(weight|bias)")
IN_LAYERS = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
ENDS = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}


def openclip_place(name: str) -> Place:
    """Where OpenCLIP has what transformers calls so, without `text_model.`.

    Queries, keys and values are thirds of one matrix, the projection is turned.
    """
    if name == "text_projection.weight":
        return Place("text_projection", turned=True)
    if not (layer := LAYER.fullmatch(name)):
        return Place(ENDS[name])
    start, inner = f"transformer.resblocks.{layer[1]}", layer[2]
    if attention := ATTENTION.fullmatch(inner):
        return Place(f"{start}.attn.in_proj_{attention[2]}", third="qkv".index(attention[1]))
    module, _, kind = inner.rpartition(".")
    return Place(f"{start}.{IN_LAYERS[module]}.{kind}")
