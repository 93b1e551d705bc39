"""Bases in the shape of Stable Diffusion 1.5 with random weights, made from configurations alone.

Speed and memory do not depend on what the weights say, and no file has to be fetched.
"""

import random
from pathlib import Path
from typing import Any

import torch

from fedshow.concepts.header import BaseRef
from fedshow.demo.folders import Person
from fedshow.families import Base
from fedshow.families.opening import FAMILIES, describe_pipeline, quiet_libraries
from fedshow.toyworld import WEIGHTS
from fedshow.toyworld.heldout import draw_heldout

CHARACTER = "gloop"
FULL: dict[str, Any] = {
    "unet": (320, 640, 1280, 1280),
    "vae": (128, 256, 512, 512),
    "groups": 32,
    "blocks": 2,
    "heads": 8,
    "text": (768, 12, 12, 49408),
    "latent_edge": 64,
    "picture_edge": 1024,
}
TINY: dict[str, Any] = FULL | {
    "blocks": 1,
    "unet": (32, 32, 64, 64),
    "vae": (16, 16, 32, 32),
    "groups": 8,
    "heads": 2,
    "text": (64, 2, 2, 2048),
    "latent_edge": 8,
    "picture_edge": 128,
}

FLAT: dict[str, Any] = TINY | {"unet": (32, 64)}
"""With two levels of four: what is compiled is so in seconds."""


def sd15(device: str, sizes: dict[str, Any] = FULL) -> Base:
    """The base on `device`, frozen, in float32."""
    quiet_libraries()
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel

    torch.manual_seed(0)
    with torch.device(device):  # random weights are made there, far faster than on one core
        vae, unet = make_vae(sizes), make_unet(sizes)
        text_encoder = CLIPTextModel(text_config(*sizes["text"]))
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=make_tokenizer(),
        unet=unet,
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return opened(pipeline.to(device), "sd1")


def opened(pipeline: Any, family: str) -> Base:
    """A pipeline that was never in a folder, frozen, as a base without a fingerprint."""
    pipeline.set_progress_bar_config(disable=True)
    chosen = FAMILIES[family]
    for part in (*chosen.components(pipeline).values(), pipeline.vae):
        part.requires_grad_(False).eval()
    card = describe_pipeline(BaseRef(name="local", sha256="0" * 64), chosen, pipeline)
    return Base(pipeline, chosen, card, "")


def hosted(base: Base) -> Base:
    """The same in host memory, where bases lie when they have been opened; no card holds any of it."""
    base.pipeline.to("cpu")
    return base


def make_unet(sizes: dict[str, Any]) -> Any:
    """Its denoiser."""
    from diffusers import UNet2DConditionModel

    attending = len(sizes["unet"]) - 1  # of its levels, the last has no attention
    return UNet2DConditionModel(
        sample_size=sizes["latent_edge"],
        down_block_types=("CrossAttnDownBlock2D",) * attending + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * attending,
        block_out_channels=sizes["unet"],
        layers_per_block=sizes["blocks"],
        cross_attention_dim=sizes["text"][0],
        attention_head_dim=sizes["heads"],
        norm_num_groups=sizes["groups"],
    )


def make_vae(sizes: dict[str, Any], **scale: float) -> Any:
    """An autoencoder of Stable Diffusion's kind."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=sizes["vae"],
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=sizes["blocks"],
        latent_channels=4,
        norm_num_groups=sizes["groups"],
        sample_size=8 * sizes["latent_edge"],
        **scale,
    )


def text_config(width: int, layers: int, heads: int, words: int, **others: Any) -> Any:
    """Of a CLIP text encoder."""
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=77,
        projection_dim=width,
        bos_token_id=0,
        eos_token_id=2,  # as the true ones say: the word of the highest id counts as the end
        **others,
    )


def make_tokenizer(pads_with: str = "") -> Any:
    """Toyworld's, for 77 tokens; it knows fewer words than the true one."""
    from transformers import CLIPTokenizer

    special = {"pad_token": pads_with} if pads_with else {}
    return CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer", model_max_length=77, **special)


def make_scheduler() -> Any:
    """The noise schedule that Stable Diffusion 1.x and XL share."""
    from diffusers import DDPMScheduler

    schedule = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return DDPMScheduler(**schedule, clip_sample=False, steps_offset=1)


def photos(folder: Path, edge: int) -> Person:
    """Somebody with eight masked pictures of `edge` x `edge` pixels; drawn once."""
    someone = Person("bench", CHARACTER, folder / f"{CHARACTER}-{edge}")
    if not someone.images.is_dir():
        someone.images.mkdir(parents=True)
        drawn = draw_heldout(CHARACTER, 8, random.Random(0), edge)
        for number, (picture, _) in enumerate(drawn):
            picture.image.save(someone.images / f"{number}.png")
            picture.masks[0].save(someone.images / f"{number}.mask.png")
    return someone
