"""Stable Diffusion XL (arXiv 2307.01952).

Of its 70 cross-attention layers all those of one Transformer2DModel share a slot: 11 slots, where one per
layer would mean 70 encodings of every prompt that names a concept. What two text encoders make of a prompt
stands side by side; each has its own rows of every word, `tokens` and `tokens_2`.

The denoiser also gets one vector of the whole prompt, which is none of any layer: it comes from one further
encoding by the second encoder, in which every word is the mean of its slots' rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from fedshow.families.encoded import Encoded
from fedshow.families.family import UNREAD, Size
from fedshow.families.text_encoder import TextEncoder
from fedshow.families.unet import UNetFamily, cross_attention


class SDXL(UNetFamily):
    """Two CLIP text encoders, a U-Net with one slot per Transformer2DModel."""

    name = "sdxl"
    pipeline_class = "StableDiffusionXLPipeline"
    opening_options: Mapping[str, object] = {"add_watermarker": False, **UNREAD}
    parts: Mapping[str, str] = {
        "text_encoder": "CLIPTextModel",
        "tokenizer": "CLIPTokenizer",
        "text_encoder_2": "CLIPTextModelWithProjection",
        "tokenizer_2": "CLIPTokenizer",
        "unet": "UNet2DConditionModel",
        "vae": "AutoencoderKL",
    }
    denoiser_config: Mapping[str, object] = {"addition_embed_type": "text_time"}
    kept_bytes = (6800, 700)
    guidance = 5.0

    def text_encoders(self, pipeline: Any) -> list[TextEncoder]:
        """Both, of which the denoiser reads the penultimate layers."""
        first = TextEncoder(
            "text_encoder", pipeline.text_encoder, pipeline.tokenizer, penultimate=True
        )
        second = TextEncoder(
            "text_encoder_2",
            pipeline.text_encoder_2,
            pipeline.tokenizer_2,
            penultimate=True,
            pools=True,
        )
        return [first, second]

    def slotted_layers(self, denoiser: nn.Module) -> list[tuple[nn.Module, int]]:
        """Every attn2 in execution order, those of one Transformer2DModel with the same slot."""
        found = cross_attention(denoiser)
        transformers = list(dict.fromkeys(self.context_of(name) for name, _ in found))
        return [(module, transformers.index(self.context_of(name))) for name, module in found]

    def context_of(self, attention: str) -> str:
        """The Transformer2DModel, whose layers all read the same text features."""
        return attention.partition(".transformer_blocks.")[0]

    def without_prompt(self, pipeline: Any, encoded: Encoded, empty: Sequence[bool]) -> Encoded:
        """Zeros where the base was trained with these for no prompt, as the stock pipeline gives."""
        if not pipeline.config.force_zeros_for_empty_prompt or not any(empty):
            return encoded
        kept = torch.tensor([not is_empty for is_empty in empty]).to(encoded.features)
        pooled = encoded.pooled
        return replace(
            encoded,
            features=encoded.features * kept[:, None, None, None],
            pooled=None if pooled is None else pooled * kept[:, None],
        )

    def denoiser_inputs(self, pipeline: Any, encoded: Encoded, size: Size) -> dict[str, Any]:  # noqa: ARG002
        """Features, and beside times the pooled vector and the picture's size, as if it was never cropped."""
        assert encoded.pooled is not None
        pooled, original, corner, target = encoded.pooled, size, (0, 0), size
        numbers = torch.tensor([*original, *corner, *target], dtype=torch.float32)
        time_ids = numbers.to(pooled.device).expand(len(pooled), -1)
        added = {"text_embeds": pooled, "time_ids": time_ids}
        return {"encoder_hidden_states": encoded.features, "added_cond_kwargs": added}

    def pipeline_inputs(
        self,
        pipeline: Any,  # noqa: ARG002
        positive: Encoded,
        negative: Encoded,
    ) -> dict[str, Any]:
        """Features and pooled vectors; sizes are by themselves those of the picture."""
        return {
            "prompt_embeds": positive.features,
            "negative_prompt_embeds": negative.features,
            "pooled_prompt_embeds": positive.pooled,
            "negative_pooled_prompt_embeds": negative.pooled,
        }

    def from_image(self, pipeline: Any) -> Any:
        """Without watermarks, as the pipeline itself."""
        from diffusers import StableDiffusionXLImg2ImgPipeline

        return StableDiffusionXLImg2ImgPipeline(**pipeline.components, add_watermarker=False)
