"""The nodes: a release, prompts with its concepts, regions."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .attention import RegionalAttention
from .layers import places, slots_of, text_patches, unet_patches
from .packing import LayerWise, pack, pack_regions
from .regions import MOST_WEIGHT, OVERLAPS, Region
from .release import manifest_digest, read_release
from .words import ConceptTokenizer

Conditioning = list[list[Any]]
REGIONS = "FEDSHOW_REGIONS"
CATEGORY = "fedshow"
FRACTION = {"min": 0.0, "max": 1.0, "step": 0.01}
TEXT = ("STRING", {"multiline": True, "dynamicPrompts": True})


class FedshowRelease:
    """A checkpoint with a release's fused adapters, and a CLIP that knows its concepts."""

    CATEGORY = CATEGORY
    FUNCTION = "load"
    RETURN_TYPES = ("MODEL", "CLIP", "STRING")
    RETURN_NAMES = ("model", "clip", "concepts")
    DESCRIPTION = "Checks a release folder against its manifest and patches it into model and CLIP."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # ComfyUI's name for it
        """What ComfyUI asks for."""
        return {
            "required": {
                "model": ("MODEL",),
                "clip": ("CLIP",),
                "folder": ("STRING", {"default": ""}),
                "strength": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 4.0, "step": 0.05}),
            }
        }

    @classmethod
    def IS_CHANGED(cls, folder: str, **_: Any) -> str:  # ComfyUI's name for it
        """What changes when another release lies in the folder."""
        return manifest_digest(Path(folder).expanduser())

    def load(self, model: Any, clip: Any, folder: str, strength: float) -> tuple[Any, Any, str]:
        """Model and CLIP with the release, and what its concepts are called."""
        release = read_release(Path(folder).expanduser())
        weights = model.model_state_dict()
        unet = unet_patches(release.update, weights)
        text = text_patches(release.update, clip.cond_stage_model.state_dict())
        model, clip = model.clone(), clip.clone()
        model.add_patches(unet, strength)
        clip.add_patches(text, strength)
        clip.tokenizer = ConceptTokenizer(clip.tokenizer, release.concepts, release.rows)
        slots = slots_of(places(weights), release.slots)
        model.set_model_attn2_patch(LayerWise(slots, clip.tokenizer.chunk))
        told = [f"<{name}> {release.classes[name]}" for name in sorted(release.concepts)]
        return model, clip, "\n".join(told)


class FedshowPrompt:
    """A prompt's conditioning with one encoding per cross-attention layer."""

    CATEGORY = CATEGORY
    FUNCTION = "encode"
    RETURN_TYPES = ("CONDITIONING",)
    DESCRIPTION = "Encodes a prompt that may name a release's concepts as <name>, layer by layer."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """What ComfyUI asks for."""
        return {"required": {"clip": ("CLIP",), "text": TEXT}}

    def encode(self, clip: Any, text: str) -> tuple[Conditioning]:
        """The conditioning; ControlNets, which have no slots, read each word's mean vector."""
        features, plain, pooled = encoded(clip, text)
        return ([[features, {"pooled_output": pooled, "cross_attn_controlnet": plain}]],)


class FedshowNegative(FedshowPrompt):
    """The conditioning of what a picture must not show."""

    DESCRIPTION = (
        "Encodes what not to draw; nothing at all as the base was trained without a prompt."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """What ComfyUI asks for."""
        return {
            "required": {"clip": ("CLIP",)},
            "optional": {"text": ("STRING", {"multiline": True, "default": ""})},
        }

    def encode(self, clip: Any, text: str = "") -> tuple[Conditioning]:
        """As a prompt's; of an empty one zeros where there are two text encoders, as XL was trained."""
        (conditioning,) = super().encode(clip, text)
        if text.strip() or len(_tokenizer(clip).rows) == 1:
            return (conditioning,)
        ((features, extras),) = conditioning
        zeros = {name: torch.zeros_like(tensor) for name, tensor in extras.items()}
        return ([[torch.zeros_like(features), zeros]],)


class FedshowRegion:
    """One more region: a box or a mask, and what to draw in it."""

    CATEGORY = CATEGORY
    FUNCTION = "add"
    RETURN_TYPES = (REGIONS,)
    DESCRIPTION = "A box (fractions of width and height) or a mask with its own prompt."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """What ComfyUI asks for."""
        return {
            "required": {
                "clip": ("CLIP",),
                "text": TEXT,
                "left": ("FLOAT", {"default": 0.0, **FRACTION}),
                "top": ("FLOAT", {"default": 0.0, **FRACTION}),
                "right": ("FLOAT", {"default": 1.0, **FRACTION}),
                "bottom": ("FLOAT", {"default": 1.0, **FRACTION}),
                "weight": (
                    "FLOAT",
                    {"default": 1.0, "min": 0.01, "max": MOST_WEIGHT, "step": 0.01},
                ),
                "feather": ("FLOAT", {"default": 0.0, **FRACTION}),
                "start": ("FLOAT", {"default": 0.0, **FRACTION}),
                "end": ("FLOAT", {"default": 1.0, **FRACTION}),
            },
            "optional": {
                "negative": ("STRING", {"multiline": True, "default": ""}),
                "mask": ("MASK",),
                "regions": (REGIONS,),
            },
        }

    def add(
        self,
        clip: Any,
        text: str,
        left: float,
        top: float,
        right: float,
        bottom: float,
        weight: float,
        feather: float,
        start: float,
        end: float,
        negative: str = "",
        mask: Tensor | None = None,
        regions: tuple[Region, ...] = (),
    ) -> tuple[tuple[Region, ...]]:
        """The regions so far and this one; without a negative it has the whole picture's."""
        if not text.strip():
            raise ValueError("region without a prompt: say what to draw in it")
        region = Region(
            positive=encoded(clip, text)[0],
            negative=encoded(clip, negative)[0] if negative.strip() else None,
            box=(left, top, right, bottom),
            mask=None if mask is None else mask.reshape(-1, *mask.shape[-2:])[0],
            weight=weight,
            feather=feather,
            start=start,
            end=end,
        )
        return ((*regions, region),)


class FedshowRegions:
    """A model and conditioning that obey regions."""

    CATEGORY = CATEGORY
    FUNCTION = "apply"
    RETURN_TYPES = ("MODEL", "CONDITIONING", "CONDITIONING")
    RETURN_NAMES = ("model", "positive", "negative")
    DESCRIPTION = "In each region the picture attends to the region's prompt alone."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """What ComfyUI asks for."""
        return {
            "required": {
                "model": ("MODEL",),
                "positive": ("CONDITIONING",),
                "negative": ("CONDITIONING",),
                "regions": (REGIONS,),
                "overlap": (list(OVERLAPS),),
            }
        }

    def apply(
        self,
        model: Any,
        positive: Conditioning,
        negative: Conditioning,
        regions: tuple[Region, ...],
        overlap: str,
    ) -> tuple[Any, Conditioning, Conditioning]:
        """All three with the regions."""
        layers = _layer_wise_patch(model)
        model = model.clone()
        attention = RegionalAttention(regions, overlap, layers.chunk)
        for part, number, index in layers.slots:
            model.set_model_attn2_replace(attention, part, number, index)

        def packed(whole: Conditioning, side: str) -> Conditioning:
            found = []
            for features, extras in whole:
                own = layers.layered(features)
                parts = [getattr(one, side) for one in regions]
                contexts = [own if part is None else part for part in parts]
                found.append([pack_regions([own, *contexts]), {**extras}])
            return found

        return model, packed(positive, "positive"), packed(negative, "negative")


def encoded(clip: Any, text: str) -> tuple[Tensor, Tensor, Any]:
    """A prompt's layer-wise features, those with one vector per word, and what CLIP pools."""
    tokenizer = _tokenizer(clip)
    tokens = clip.tokenize(text)
    plain, pooled = clip.encode_from_tokens(tokens, return_pooled=True)
    if not tokenizer.names_any(tokens):
        return plain.repeat_interleave(tokenizer.slots, 1), plain, pooled
    slots = [tokenizer.at_slot(tokens, slot) for slot in range(tokenizer.slots)]
    count = min(map(len, tokens.values()))  # text encoders side by side go as far as the shorter
    one_text = {name: [chunk for slot in slots for chunk in slot[name][:count]] for name in tokens}
    features_BND, _ = clip.encode_from_tokens(one_text, return_pooled=True)
    return pack(features_BND[0].unflatten(0, (tokenizer.slots, -1))), plain, pooled


def _tokenizer(clip: Any) -> ConceptTokenizer:
    if not isinstance(clip.tokenizer, ConceptTokenizer):
        raise ValueError(
            "this CLIP knows no concepts: connect the one of the node 'fedshow release'"
        )
    return clip.tokenizer


def _layer_wise_patch(model: Any) -> LayerWise:
    patches = model.model_options["transformer_options"].get("patches", {}).get("attn2_patch", [])
    for patch in reversed(patches):
        if isinstance(patch, LayerWise):
            return patch
    raise ValueError("this model has no release: connect the one of the node 'fedshow release'")


NODE_CLASS_MAPPINGS = {
    "FedshowRelease": FedshowRelease,
    "FedshowPrompt": FedshowPrompt,
    "FedshowNegative": FedshowNegative,
    "FedshowRegion": FedshowRegion,
    "FedshowRegions": FedshowRegions,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "FedshowRelease": "fedshow release",
    "FedshowPrompt": "fedshow prompt",
    "FedshowNegative": "fedshow negative",
    "FedshowRegion": "fedshow region",
    "FedshowRegions": "fedshow regions",
}
