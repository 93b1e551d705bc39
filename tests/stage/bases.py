"""Bases with random weights: as narrow as can be, with as many layers as the true ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedshow.families.opening import quiet_libraries
from fedshow.toyworld import WEIGHTS

PICTURE_EDGE = 64
WIDTH, WIDTH_2 = 32, 48
"""Of the first text encoder's tokens and of the second's."""

_CHANNELS = 16


def make_sd1(folder: Path) -> Path:
    """Stable Diffusion 1.5: 16 cross-attention layers."""
    quiet_libraries()
    import torch
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    pipeline = StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config(len(tokenizer), WIDTH)),
        tokenizer=tokenizer,
        unet=_unet_of_sd1(),
        scheduler=_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def make_sdxl(folder: Path) -> Path:
    """Stable Diffusion XL: 70 cross-attention layers in 11 transformers, two text encoders."""
    quiet_libraries()
    import torch
    from diffusers import StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    tokenizer, tokenizer_2 = _tokenizer(), _tokenizer(pad_token="!")
    pipeline = StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config(len(tokenizer), WIDTH)),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(len(tokenizer_2), WIDTH_2)),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        unet=_unet_of_sdxl(),
        scheduler=_scheduler(),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def make_sd3(folder: Path) -> Path:
    """Stable Diffusion 3: 24 blocks of joint attention, without T5."""
    quiet_libraries()
    import torch
    from diffusers import StableDiffusion3Pipeline
    from transformers import CLIPTextModelWithProjection

    torch.manual_seed(0)
    tokenizer, tokenizer_2 = _tokenizer(), _tokenizer(pad_token="!")
    pipeline = StableDiffusion3Pipeline(
        vae=_vae(latent_channels=16, shift_factor=0.06, scaling_factor=1.5),
        text_encoder=CLIPTextModelWithProjection(_text_config(len(tokenizer), WIDTH)),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(len(tokenizer_2), WIDTH_2)),
        text_encoder_3=None,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        tokenizer_3=None,
        transformer=_transformer_of_sd3(),
        scheduler=_flow_scheduler(),
    )
    pipeline.save_pretrained(folder)
    return folder


MAKERS: dict[str, Callable[[Path], Path]] = {"sd1": make_sd1, "sdxl": make_sdxl, "sd3": make_sd3}
"""By family what writes such a base to a folder, as diffusers does."""


def _tokenizer(**special: str) -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer", model_max_length=77, **special)


def _text_config(words: int, width: int) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=77,
        projection_dim=width,
        bos_token_id=0,
        eos_token_id=2,  # as the true ones say: the word of the highest id counts as the end
    )


def _vae(latent_channels: int = 4, **scale: float) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(_CHANNELS,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=8,
        sample_size=PICTURE_EDGE,
        **scale,
    )


def _unet_of_sd1() -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=PICTURE_EDGE // 8,
        block_out_channels=(_CHANNELS, _CHANNELS, 2 * _CHANNELS, 2 * _CHANNELS),
        cross_attention_dim=WIDTH,
        attention_head_dim=2,
        norm_num_groups=8,
    )


def _unet_of_sdxl() -> Any:
    from diffusers import UNet2DConditionModel

    time_dim = 8
    return UNet2DConditionModel(
        sample_size=PICTURE_EDGE // 8,
        block_out_channels=(_CHANNELS, 2 * _CHANNELS, 2 * _CHANNELS),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        use_linear_projection=True,
        cross_attention_dim=WIDTH + WIDTH_2,
        attention_head_dim=(1, 2, 2),
        norm_num_groups=8,
        addition_embed_type="text_time",
        addition_time_embed_dim=time_dim,
        projection_class_embeddings_input_dim=6 * time_dim + WIDTH_2,
    )


def _transformer_of_sd3() -> Any:
    from diffusers import SD3Transformer2DModel

    return SD3Transformer2DModel(
        sample_size=PICTURE_EDGE // 8,
        patch_size=2,
        in_channels=16,
        num_layers=24,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=128,
        caption_projection_dim=32,
        pooled_projection_dim=WIDTH + WIDTH_2,
        pos_embed_max_size=16,
    )


def _flow_scheduler() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(shift=3.0)


def _scheduler() -> Any:
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
