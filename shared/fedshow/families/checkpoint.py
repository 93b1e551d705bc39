"""Stable Diffusion 1.x as one file: what is in it and how its parts are built, read from its header alone.

The layout is that of the authors' own code (LDM), which A1111 and ComfyUI keep. Such a file says nothing of
its architecture: what all of 1.x have in common stands here, widths are read off shapes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fedshow.errors import InvalidInput
from fedshow.families.stored import Header, read_header

UNET = "model.diffusion_model."
VAE = "first_stage_model."
TEXT = "cond_stage_model.transformer."
CLIP_PREFIX = "text_model."

OTHERS = {
    "conditioner.embedders.": "of Stable Diffusion XL, which opens as a diffusers folder",
    "cond_stage_model.model.": "of Stable Diffusion 2, which is no family of fedshow's",
    "double_blocks.": "of FLUX, which is no family of fedshow's",
    "joint_blocks.": "of Stable Diffusion 3, which is no family of fedshow's",
    "lora_": "a LoRA, no base",
}
"""What keys of other files contain or begin with, and what these files are."""

EDGE = 64
"""Latent positions along an edge of the pictures of 512 x 512 that 1.x was trained on."""

HEADS = 8
CLIP_HEAD_WIDTH = 64

V_PARAMETERIZATION = re.compile(r"^\s*parameterization:\s*[\"']?v[\"']?\s*$", re.MULTILINE)
"""How a YAML file beside a checkpoint says, for A1111 as for us, that its U-Net predicts velocities."""

MAX_YAML_BYTES = 1 << 20

SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
}


def is_checkpoint(file: Path) -> bool:
    """Whether a file holds a whole model's U-Net, as no concept file does."""
    try:
        return any(name.startswith(UNET) for name in read_header(file).shapes)
    except InvalidInput:
        return False


def read_checkpoint(file: Path) -> "Checkpoint":
    """What a single file is; raises InvalidInput unless it is a whole base of Stable Diffusion 1.x."""
    header = read_header(file)
    found = Checkpoint(file, header)
    for start, what in OTHERS.items():
        if any(name.startswith(start) or f".{start}" in name for name in header.shapes):
            raise InvalidInput(f"{file} is {what}")
    for start, part in ((UNET, "U-Net"), (VAE, "autoencoder"), (TEXT, "text encoder")):
        if not any(name.startswith(start) for name in header.shapes):
            raise InvalidInput(f"{file} has no {part}: no tensor's name begins with {start}")
    if (channels := found.unet["in_channels"]) != found.vae["latent_channels"]:
        raise InvalidInput(
            f"{file}: its U-Net reads {channels} channels, as for inpainting; 4 are known"
        )
    return found


@dataclass(frozen=True)
class Checkpoint:
    """A single file with its header, and the configuration of each part as diffusers and CLIP have it."""

    file: Path
    header: Header

    @cached_property
    def unet(self) -> dict[str, Any]:
        """Of UNet2DConditionModel."""
        firsts = [
            self._shape(f"{UNET}input_blocks.{n}.0.out_layers.3.weight") for n in (1, 4, 7, 10)
        ]
        context = f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
        return {
            "sample_size": EDGE,
            "in_channels": self._shape(f"{UNET}input_blocks.0.0.weight")[1],
            "out_channels": self._shape(f"{UNET}out.2.weight")[0],
            "block_out_channels": [shape[0] for shape in firsts],
            "layers_per_block": 2,
            "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
            "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
            "cross_attention_dim": self._shape(context)[1],
            "attention_head_dim": HEADS,
        }

    @cached_property
    def vae(self) -> dict[str, Any]:
        """Of AutoencoderKL."""
        firsts = [self._shape(f"{VAE}encoder.down.{n}.block.0.conv2.weight") for n in range(4)]
        return {
            "sample_size": 8 * EDGE,
            "block_out_channels": [shape[0] for shape in firsts],
            "down_block_types": ["DownEncoderBlock2D"] * 4,
            "up_block_types": ["UpDecoderBlock2D"] * 4,
            "layers_per_block": 2,
            "latent_channels": self._shape(f"{VAE}decoder.conv_in.weight")[1],
            "scaling_factor": 0.18215,
        }

    @cached_property
    def text_encoder(self) -> dict[str, Any]:
        """Of CLIPTextModel, but for the ids of special tokens, which the tokenizer knows."""
        layers = {
            int(found[1])
            for name in self.header.shapes
            if (found := re.search(r"^cond_stage_model\..*encoder\.layers\.(\d+)\.", name))
        }
        words, width = self._text("embeddings.token_embedding.weight")
        return {
            "vocab_size": words,
            "hidden_size": width,
            "intermediate_size": self._text("encoder.layers.0.mlp.fc1.weight")[0],
            "num_hidden_layers": len(layers),
            "num_attention_heads": max(1, width // CLIP_HEAD_WIDTH),
            "max_position_embeddings": self._text("embeddings.position_embedding.weight")[0],
            "projection_dim": width,
            "hidden_act": "quick_gelu",
        }

    @property
    def scheduler(self) -> Mapping[str, Any]:
        """Of DDIMScheduler."""
        return SCHEDULE | {"prediction_type": self.prediction}

    @property
    def prediction(self) -> str:
        """`epsilon` or `v_prediction`, of which the weights themselves tell nothing.

        As the header says (Stability's model specification), a tensor called `v_pred`, or a YAML file of the
        same name beside the checkpoint that says `parameterization: "v"`; else noise.
        """
        said = self.header.metadata.get("modelspec.prediction_type", "")
        if said.lower() in ("v", "v_prediction", "v-prediction", "vprediction"):
            return "v_prediction"
        velocity = "v_pred" in self.header.shapes or "v_pred" in self.header.metadata
        return "v_prediction" if velocity or self._said_beside() else "epsilon"

    def _said_beside(self) -> bool:
        for suffix in (".yaml", ".yml"):
            beside = self.file.with_suffix(suffix)
            if beside.is_file() and beside.stat().st_size <= MAX_YAML_BYTES:
                return V_PARAMETERIZATION.search(beside.read_text("utf-8", "replace")) is not None
        return False

    def _text(self, name: str) -> tuple[int, ...]:
        prefix = CLIP_PREFIX if f"{TEXT}{CLIP_PREFIX}{name}" in self.header.shapes else ""
        return self._shape(f"{TEXT}{prefix}{name}")

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = self.header.shapes.get(name, ())
        if len(shape) < (1 if name.endswith("bias") else 2):
            raise InvalidInput(
                f"{self.file} is no whole Stable Diffusion 1.x: {name} "
                + (
                    "is missing"
                    if name not in self.header.shapes
                    else f"has the shape {list(shape)}"
                )
            )
        return shape
