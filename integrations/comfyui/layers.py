"""Which attention of ComfyUI's U-Net is which of a release.

Down, mid, up of diffusers are input, middle, output here; as words, too, they come in that order. Slots of
words are counted in execution order on both sides; layers of the update are found by their own names, since
an update need not have all.
Shapes: O out, I in, N rank.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

Place = tuple[str, int, int]
"""Part, number of the block, number of the transformer in it: how ComfyUI tells patches where they are."""

_HERE = re.compile(
    r"diffusion_model\.(input|middle|output)_blocks?\.(\d+)\.(?:\d+\.)?transformer_blocks\.(\d+)\."
    r"attn2\.to_q\.weight"
)
_RELEASE = re.compile(
    r"unet\.(down_blocks|mid_block|up_blocks)\.(?:(\d+)\.)?attentions\.(\d+)\.transformer_blocks\.(\d+)\."
)
_HALVING = re.compile(r"diffusion_model\.input_blocks\.(\d+)\.0\.op\.weight")
_TEXT = {"text_encoder.": "clip_l.transformer.", "text_encoder_2.": "clip_g.transformer."}
"""What layers of a text encoder begin with in releases, and here."""

DOWN, UP, MATRIX = ".lora_A.weight", ".lora_B.weight", ".delta"


class WrongModel(ValueError):
    """Raised for a checkpoint that is not of the release's base."""


def places(keys: Iterable[str]) -> dict[Place, str]:
    """Where U-Net attention is, in execution order, each with the beginning of its weights' names."""
    found = {}
    for key in keys:
        if match := _HERE.fullmatch(key):
            number = 0 if match[1] == "middle" else int(match[2])
            place = match[1], number, int(match[3])
            found[place] = key.removesuffix("attn2.to_q.weight")
    return {place: found[place] for place in sorted(found)}


def slots_of(found: Iterable[Place], count: int) -> dict[Place, int]:
    """Which of a release's slots is read where; raises WrongModel.

    All layers of a transformer share one: of Stable Diffusion XL several, of 1.x there is but one.
    """
    found = list(found)
    transformers = list(dict.fromkeys(place[:2] for place in found))
    if len(transformers) != count:
        raise WrongModel(
            f"the model has {len(transformers)} transformers, words of the release {count} vectors: "
            "load the checkpoint that the release was made for"
        )
    return {place: transformers.index(place[:2]) for place in found}


def unet_patches(update: Mapping[str, Tensor], weights: Mapping[str, Any]) -> dict[str, Any]:
    """The fused update of the U-Net as patches for ComfyUI's `add_patches`; raises WrongModel."""
    deltas = _deltas(update)
    found = {layer: match for layer in deltas if (match := _RELEASE.match(layer))}
    level = _level(weights) if found else 0
    return _patches(
        {
            _begin(match, level) + layer.removeprefix(match[0]): deltas[layer]
            for layer, match in found.items()
        },
        weights,
    )


def _level(weights: Iterable[str]) -> int:
    """How many blocks here make one of diffusers, with what leads to the next; raises WrongModel."""
    halving = [int(match[1]) for key in weights if (match := _HALVING.fullmatch(key))]
    if not halving:
        raise WrongModel(
            "the model has no U-Net as Stable Diffusion's: load the checkpoint that the release was made for"
        )
    return min(halving)


def _begin(match: re.Match[str], level: int) -> str:
    """What weights of a release's transformer block begin with here, from part, block and attention."""
    part, block, attention, layer = match.groups()
    number = level * int(block or 0) + int(attention)
    here = {
        "down_blocks": f"input_blocks.{1 + number}.1",  # after the very first convolution
        "mid_block": f"middle_block.{1 + number}",
        "up_blocks": f"output_blocks.{number}.1",
    }
    return f"diffusion_model.{here[part]}.transformer_blocks.{layer}."


def text_patches(update: Mapping[str, Tensor], weights: Mapping[str, Any]) -> dict[str, Any]:
    """The fused update of the text encoders, likewise."""
    return _patches(
        {
            here + layer.removeprefix(begin): delta_OI
            for layer, delta_OI in _deltas(update).items()
            for begin, here in _TEXT.items()
            if layer.startswith(begin)
        },
        weights,
    )


def _deltas(update: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each layer with its whole update, in the precision of releases."""
    found = {}
    for key, tensor in update.items():
        if key.endswith(MATRIX):
            found[key.removesuffix(MATRIX)] = tensor
        elif key.endswith(DOWN):
            layer = key.removesuffix(DOWN)
            delta_OI = update[layer + UP].float() @ tensor.float()
            found[layer] = delta_OI.to(tensor.dtype)
    return found


def _patches(deltas: Mapping[str, Tensor], weights: Mapping[str, Any]) -> dict[str, Any]:
    for name, delta_OI in deltas.items():
        own = weights.get(name + ".weight")
        if own is None or own.shape != delta_OI.shape:
            shape = "is not there" if own is None else f"is {tuple(own.shape)}"
            raise WrongModel(
                f"{name} {shape}, the release's is {tuple(delta_OI.shape)}: load the checkpoint that "
                "the release was made for"
            )
    return {name + ".weight": ("diff", (delta_OI,)) for name, delta_OI in deltas.items()}
