"""Stable Diffusion 1.x and everything of its architecture, toyworld included."""

from collections.abc import Mapping
from typing import Any

from fedshow.families.encoded import Encoded
from fedshow.families.family import UNREAD, Size
from fedshow.families.text_encoder import TextEncoder
from fedshow.families.unet import UNetFamily


class SD1(UNetFamily):
    """One CLIP text encoder, a U-Net with one slot per cross-attention layer."""

    name = "sd1"
    pipeline_class = "StableDiffusionPipeline"
    opening_options: Mapping[str, object] = {
        "safety_checker": None,
        "requires_safety_checker": False,
        **UNREAD,
    }
    parts: Mapping[str, str] = {
        "text_encoder": "CLIPTextModel",
        "tokenizer": "CLIPTokenizer",
        "unet": "UNet2DConditionModel",
        "vae": "AutoencoderKL",
    }
    text_activation: str | None = "quick_gelu"
    denoiser_config: Mapping[str, object] = {"addition_embed_type": None}
    kept_bytes = (4000, 1200)
    guidance = 7.5

    def text_encoders(self, pipeline: Any) -> list[TextEncoder]:
        """The only one."""
        return [TextEncoder("text_encoder", pipeline.text_encoder, pipeline.tokenizer)]

    def denoiser_inputs(self, pipeline: Any, encoded: Encoded, size: Size) -> dict[str, Any]:  # noqa: ARG002
        """Nothing but text features."""
        return {"encoder_hidden_states": encoded.features}

    def pipeline_inputs(
        self,
        pipeline: Any,  # noqa: ARG002
        positive: Encoded,
        negative: Encoded,
    ) -> dict[str, Any]:
        """Features alone."""
        return {
            "prompt_embeds": positive.features,
            "negative_prompt_embeds": negative.features,
        }

    def from_image(self, pipeline: Any) -> Any:
        """Without the safety checker, which no base is opened with."""
        from diffusers import StableDiffusionImg2ImgPipeline

        return StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
