"""Stable Diffusion 3 (arXiv 2403.03206), without its T5 encoder.

Text and picture meet in joint attention: there are no cross-attention layers, so that every word has one row
for all of them, and regions cannot be drawn. Both CLIP encoders stand side by side in features and in the
pooled embedding; where T5's features would follow there are zeros, as in the stock pipeline without it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedshow.families.encoded import Encoded
from fedshow.families.family import UNREAD, Size
from fedshow.families.text_encoder import TextEncoder, text_layers

PICTURE_LINEARS = ("to_q", "to_k", "to_v")
TEXT_LINEARS = ("add_q_proj", "add_k_proj", "add_v_proj")
OUTPUTS = {"to_out.0": "out", "to_add_out": "text_out"}
T5_TOKENS = 256


class SD3:
    """Two CLIP text encoders, a transformer with joint attention, flow matching."""

    name = "sd3"
    pipeline_class = "StableDiffusion3Pipeline"
    denoiser = "transformer"
    left_out: tuple[str, ...] = ("text_encoder_3", "tokenizer_3")
    opening_options: Mapping[str, object] = {**dict.fromkeys(left_out), **UNREAD}
    parts: Mapping[str, str] = {
        "text_encoder": "CLIPTextModelWithProjection",
        "tokenizer": "CLIPTokenizer",
        "text_encoder_2": "CLIPTextModelWithProjection",
        "tokenizer_2": "CLIPTokenizer",
        "transformer": "SD3Transformer2DModel",
        "vae": "AutoencoderKL",
    }
    text_activation: str | None = None
    denoiser_config: Mapping[str, object] = {}
    context_width = "pooled_projection_dim"
    kept_bytes = (4200, 950)
    guidance = 7.0
    flow = True

    def components(self, pipeline: Any) -> dict[str, nn.Module]:
        """Both CLIP encoders, and the transformer."""
        names = ("text_encoder", "text_encoder_2", "transformer")
        return {name: getattr(pipeline, name) for name in names}

    def text_encoders(self, pipeline: Any) -> list[TextEncoder]:
        """Both, of which the denoiser reads the penultimate layers and pooled embeddings."""
        return [
            TextEncoder(
                f"text_encoder{number}",
                getattr(pipeline, f"text_encoder{number}"),
                getattr(pipeline, f"tokenizer{number}"),
                penultimate=True,
                pools=True,
            )
            for number in ("", "_2")
        ]

    def adapted_layers(self, components: Mapping[str, nn.Module]) -> dict[str, nn.Linear]:
        """All attention linears of both streams, and of the text encoders."""
        endings = tuple(f".{linear}" for linear in (*PICTURE_LINEARS, *TEXT_LINEARS, *OUTPUTS))
        layers = {
            f"transformer.{name}": module
            for name, module in components["transformer"].named_modules()
            if isinstance(module, nn.Linear) and ".attn" in name and name.endswith(endings)
        }
        return layers | text_layers(components)

    def slotted_layers(self, denoiser: nn.Module) -> list[tuple[nn.Module, int]]:  # noqa: ARG002
        """None: no layer is told the text anew."""
        return []

    def self_attention(self, denoiser: nn.Module) -> list[nn.Module]:  # noqa: ARG002
        """None: in every layer places look at text, too."""
        return []

    def is_self_attention(self, layer: str) -> bool:  # noqa: ARG002
        """Inputs of every layer name the concept."""
        return False

    def is_cross_attention(self, layer: str) -> bool:
        """Every layer of the transformer shows."""
        return layer.startswith("transformer.")

    def input_of(self, layer: str) -> str:
        """q, k and v of a stream share one input."""
        for linear, name in OUTPUTS.items():
            if layer.endswith(f".{linear}"):
                return f"{layer.removesuffix(f'.{linear}')}.{name}"
        module, _, linear = layer.rpartition(".")
        if linear == "out_proj":
            return f"{module}.out"
        return f"{module}.text" if linear in TEXT_LINEARS else f"{module}.hidden"

    def keys_of(self, layer: str) -> str | None:  # noqa: ARG002
        """Queries meet keys of text and picture alike: none of them alone decides."""
        return None

    def without_prompt(self, pipeline: Any, encoded: Encoded, empty: Sequence[bool]) -> Encoded:  # noqa: ARG002
        """The empty text, encoded as any other."""
        return encoded

    def denoiser_inputs(self, pipeline: Any, encoded: Encoded, size: Size) -> dict[str, Any]:  # noqa: ARG002
        """Features of the only slot, and pooled ones."""
        assert encoded.pooled is not None
        features = encoded.features
        features = features[0] if isinstance(features, tuple) else features
        features = features.expand(len(encoded.pooled), -1, -1)
        return {
            "encoder_hidden_states": _widened(pipeline, features),
            "pooled_projections": encoded.pooled,
        }

    def pipeline_inputs(
        self, pipeline: Any, positive: Encoded, negative: Encoded
    ) -> dict[str, Any]:
        """Features and pooled embeddings."""
        return {
            "prompt_embeds": _widened(pipeline, positive.features),
            "negative_prompt_embeds": _widened(pipeline, negative.features),
            "pooled_prompt_embeds": positive.pooled,
            "negative_pooled_prompt_embeds": negative.pooled,
        }

    def sampler(self, scheduler: Any) -> Any:
        """The base's own: flow matching by Euler's method."""
        return scheduler

    def from_image(self, pipeline: Any) -> Any:
        """Of the same parts."""
        from diffusers import StableDiffusion3Img2ImgPipeline

        return StableDiffusion3Img2ImgPipeline(**pipeline.components)


def _widened(pipeline: Any, features_BTD: Tensor) -> Tensor:
    """As wide as the transformer reads, followed by nothing in the place of T5's tokens."""
    missing = pipeline.transformer.config.joint_attention_dim - features_BTD.shape[-1]
    wide = F.pad(features_BTD, (0, missing))
    return torch.cat([wide, wide.new_zeros(len(wide), T5_TOKENS, wide.shape[-1])], 1)
