"""Bases in the shape of Stable Diffusion XL with random weights, made from configurations alone."""

from typing import Any

import torch

from benchmarks.tuning.sd15 import make_scheduler, make_tokenizer, make_vae, opened, text_config
from fedshow.families import Base
from fedshow.families.opening import quiet_libraries

FULL: dict[str, Any] = {
    "unet": (320, 640, 1280),
    "vae": (128, 256, 512, 512),
    "groups": 32,
    "blocks": 2,
    "transformers": (1, 2, 10),
    "heads": (5, 10, 20),
    "text": (768, 12, 12, 49408),
    "text_2": (1280, 32, 20, 49408),
    "time": 256,
    "latent_edge": 128,
    "picture_edge": 1024,
}
TINY: dict[str, Any] = FULL | {
    "unet": (16, 32, 32),
    "vae": (16, 16, 16, 16),
    "groups": 8,
    "heads": (1, 2, 2),
    "text": (32, 2, 2, 2048),
    "text_2": (48, 3, 2, 2048),
    "time": 8,
    "latent_edge": 8,
    "picture_edge": 128,
}


def sdxl(device: str, sizes: dict[str, Any] = FULL) -> Base:
    """The base on `device`, frozen, in float32."""
    quiet_libraries()
    from diffusers import StableDiffusionXLPipeline

    torch.manual_seed(0)
    with torch.device(device):  # as for SD 1.5
        vae, unet = make_vae(sizes, scaling_factor=0.13025), make_unet(sizes)
        text_encoder, text_encoder_2 = make_text_encoders(sizes)
    pipeline = StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=text_encoder,
        text_encoder_2=text_encoder_2,
        tokenizer=make_tokenizer(),
        tokenizer_2=make_tokenizer(pads_with="!"),
        unet=unet,
        scheduler=make_scheduler(),
        add_watermarker=False,
    )
    return opened(pipeline.to(device), "sdxl")


def make_text_encoders(sizes: dict[str, Any]) -> tuple[Any, Any]:
    """CLIP's, and OpenCLIP's larger one with its projection."""
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    first, second = text_config(*sizes["text"]), text_config(*sizes["text_2"], hidden_act="gelu")
    return CLIPTextModel(first), CLIPTextModelWithProjection(second)


def make_unet(sizes: dict[str, Any]) -> Any:
    """Its denoiser: 11 transformers of 70 layers in all."""
    from diffusers import UNet2DConditionModel

    pooled = sizes["text_2"][0]
    return UNet2DConditionModel(
        sample_size=sizes["latent_edge"],
        block_out_channels=sizes["unet"],
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=sizes["transformers"],
        layers_per_block=sizes["blocks"],
        use_linear_projection=True,
        cross_attention_dim=sizes["text"][0] + pooled,
        attention_head_dim=sizes["heads"],
        norm_num_groups=sizes["groups"],
        addition_embed_type="text_time",
        addition_time_embed_dim=sizes["time"],
        projection_class_embeddings_input_dim=6 * sizes["time"] + pooled,
    )
