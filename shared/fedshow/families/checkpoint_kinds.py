"""The kinds of bases that are opened from one file, and which one a file is. Costs nothing to import."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedshow.errors import InvalidInput
from fedshow.families.checkpoint import CLIP_HEAD_WIDTH, NOISE, UNET, Checkpoint, TextPart
from fedshow.families.stored import read_header

OTHERS = {
    "conditioner.embedders.0.model.": "the refiner of Stable Diffusion XL, which is no base",
    "cond_stage_model.model.": "of Stable Diffusion 2, which is no family of fedshow's",
    "double_blocks.": "of FLUX, which is no family of fedshow's",
    "joint_blocks.": "of Stable Diffusion 3, which opens as a diffusers folder",
    "edm_": "of a model that denoises as EDM does, which no family of fedshow's does",
    "lora_": "a LoRA, no base",
}
"""What keys of other files contain or begin with, and what these files are."""

TIME_NUMBERS = 6
"""What the U-Net of XL is told beside the prompt: two edges of each of two sizes, and a corner."""


class SD1Checkpoint(Checkpoint):
    """Stable Diffusion 1.x, trained on pictures of 512 x 512."""

    family = "sd1"
    title = "Stable Diffusion 1.x"
    edge = 64
    attending = (True, True, True, False)
    latent_scale = 0.18215
    texts: Mapping[str, TextPart] = {"text_encoder": TextPart("cond_stage_model.transformer.")}
    scheduler_class = "DDIMScheduler"
    schedule: Mapping[str, object] = NOISE | {"clip_sample": False, "set_alpha_to_one": False}

    @property
    def unet(self) -> dict[str, Any]:
        """With as many heads in every layer."""
        return super().unet | {"attention_head_dim": 8}


class SDXLCheckpoint(Checkpoint):
    """Stable Diffusion XL, trained on pictures of 1024 x 1024."""

    family = "sdxl"
    title = "Stable Diffusion XL"
    edge = 128
    attending = (False, True, True)
    latent_scale = 0.13025
    texts: Mapping[str, TextPart] = {
        "text_encoder": TextPart("conditioner.embedders.0.transformer."),
        "text_encoder_2": TextPart(
            "conditioner.embedders.1.model.", openclip=True, activation="gelu", padding="!"
        ),
    }
    scheduler_class = "EulerDiscreteScheduler"
    schedule: Mapping[str, object] = NOISE | {"timestep_spacing": "leading"}

    @property
    def unet(self) -> dict[str, Any]:
        """With heads of one width, linear projections, and what it is told beside the prompt."""
        found = super().unet
        told = self.shape(f"{UNET}label_emb.0.0.weight")[1]
        pooled = self.text_encoder("text_encoder_2")["projection_dim"]
        if told <= pooled or (told - pooled) % TIME_NUMBERS:
            raise InvalidInput(
                f"{self.file}: its U-Net is told {told} numbers of prompt and sizes, its text encoder 2 "
                f"gives {pooled}"
            )
        return found | {
            "attention_head_dim": [
                max(1, width // CLIP_HEAD_WIDTH) for width in found["block_out_channels"]
            ],
            "transformer_layers_per_block": [
                self._depth(block) if reads else 1 for block, reads in enumerate(self.attending)
            ],
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": (told - pooled) // TIME_NUMBERS,
            "projection_class_embeddings_input_dim": told,
        }

    def _depth(self, block: int) -> int:
        """How many layers a transformer of this block has."""
        start = re.escape(self.transformer(block))
        names = (re.match(rf"{start}(\d+)\.", name) for name in self.header.shapes)
        return len({found[1] for found in names if found})


KINDS: dict[str, type[Checkpoint]] = {kind.family: kind for kind in (SD1Checkpoint, SDXLCheckpoint)}
"""By the family whose bases they hold."""


def is_checkpoint(file: Path) -> bool:
    """Whether a file holds a whole model's U-Net, as no concept file does."""
    try:
        return any(name.startswith(UNET) for name in read_header(file).shapes)
    except InvalidInput:
        return False


def read_checkpoint(file: Path) -> Checkpoint:
    """What a single file is; raises InvalidInput unless it is a whole base of a kind that is known."""
    header = read_header(file)
    for start, what in OTHERS.items():
        if any(name.startswith(start) or f".{start}" in name for name in header.shapes):
            raise InvalidInput(f"{file} is {what}")
    larger = any(name.startswith("conditioner.") for name in header.shapes)
    found = (SDXLCheckpoint if larger else SD1Checkpoint)(file, header)
    found.check()
    return found
