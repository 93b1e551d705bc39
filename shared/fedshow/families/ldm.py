"""What the authors' own code (LDM, of A1111 and ComfyUI, too) calls what diffusers calls otherwise.

It numbers the U-Net's blocks through, so that names follow from how many layers a block has. Names here
are those of modules or of parameters.
"""

import re
from collections.abc import Collection

UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_ENDS = {"conv_norm_out": "norm_out"}
VAE_RESNET = {"conv_shortcut": "nin_shortcut"}
VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}

BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)")
RESIZE = re.compile(r"(down|up)_blocks\.(\d+)\.(?:down|up)samplers\.0\.conv\.(.+)")
MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")


def unet_names(names: Collection[str]) -> dict[str, str]:
    """diffusers' names of a U-Net's modules or parameters to LDM's; `names` are those of the whole U-Net."""
    blocks = [found for name in names if (found := BLOCK.fullmatch(name))]
    layers = max((int(found[4]) for found in blocks if found[1] == "up"), default=0)
    attending = {found[2] for found in blocks if found[1] == "up" and found[3] == "attentions"}
    return {name: _unet_name(name, layers, attending) for name in names}


def _unet_name(name: str, layers: int, attending: Collection[str]) -> str:
    """`layers` a block on the way down, one more on the way up; `attending` are the upper blocks that do."""
    if found := BLOCK.fullmatch(name):
        way, block, kind, layer, rest = found.groups()
        number = int(block) * (layers + 1) + int(layer)
        start = f"input_blocks.{number + 1}" if way == "down" else f"output_blocks.{number}"
        return f"{start}.{_unet_part(kind, rest)}"
    if found := RESIZE.fullmatch(name):
        way, block, rest = found.groups()
        number = int(block) * (layers + 1) + layers
        if way == "down":
            return f"input_blocks.{number + 1}.0.op.{rest}"
        return f"output_blocks.{number}.{2 if block in attending else 1}.conv.{rest}"
    if found := MIDDLE.fullmatch(name):
        kind, number, rest = found[1], int(found[2]), found[3]
        place = 2 * number if kind == "resnets" else 2 * number + 1
        return f"middle_block.{place}.{_unet_part(kind, rest).partition('.')[2]}"
    return _renamed(name, UNET_ENDS)


def _unet_part(kind: str, rest: str) -> str:
    return f"0.{_renamed(rest, UNET_RESNET)}" if kind == "resnets" else f"1.{rest}"


def vae_names(names: Collection[str]) -> dict[str, str]:
    """diffusers' names of an autoencoder's parameters to LDM's; `names` are all of them."""
    blocks = (re.match(r"decoder\.up_blocks\.(\d+)\.", name) for name in names)
    last = max((int(found[1]) for found in blocks if found), default=0)
    return {name: _vae_name(name, last) for name in names}


def _vae_name(name: str, last: int) -> str:
    """`last` is the number of the decoder's last block, which is LDM's first."""
    part, _, inner = name.partition(".")
    if found := BLOCK.fullmatch(inner):
        way, block, _, layer, rest = found.groups()
        number = int(block) if way == "down" else last - int(block)
        return f"{part}.{way}.{number}.block.{layer}.{_renamed(rest, VAE_RESNET)}"
    if found := RESIZE.fullmatch(inner):
        way, block, rest = found.groups()
        number = int(block) if way == "down" else last - int(block)
        return f"{part}.{way}.{number}.{way}sample.conv.{rest}"
    if found := MIDDLE.fullmatch(inner):
        kind, number, rest = found[1], int(found[2]) + 1, found[3]
        if kind == "resnets":
            return f"{part}.mid.block_{number}.{_renamed(rest, VAE_RESNET)}"
        return f"{part}.mid.attn_{number}.{_renamed(rest, VAE_ATTENTION)}"
    return f"{part}.{_renamed(inner, VAE_ENDS)}"


def _renamed(name: str, names: dict[str, str]) -> str:
    """The name with its beginning replaced, if it is among `names`."""
    for ours, theirs in names.items():
        if name == ours or name.startswith(f"{ours}."):
            return theirs + name.removeprefix(ours)
    return name
