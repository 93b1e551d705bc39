"""A whole base as one file: what is in it and how its parts are built, read from its header alone.

The layout is that of the authors' own code (LDM), which A1111 and ComfyUI keep. Such a file says nothing of
its architecture: what all of a kind have in common stands with its class, widths are read off shapes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedshow.errors import InvalidInput
from fedshow.families.openclip import openclip_place
from fedshow.families.stored import Header, Place

UNET = "model.diffusion_model."
VAE = "first_stage_model."
CLIP_PREFIX = "text_model."
CLIP_HEAD_WIDTH = 64
LATENT_PIXELS = 8

TEXT_LAYER = re.compile(r"\.(?:layers|resblocks)\.(\d+)\.")
V_PARAMETERIZATION = re.compile(r"^\s*parameterization:\s*[\"']?v[\"']?\s*$", re.MULTILINE)
"""How a YAML file beside a checkpoint says, for A1111 as for us, that its U-Net predicts velocities."""

MAX_YAML_BYTES = 1 << 20

NOISE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}
"""How noise grows in all that Stability has trained on noise."""


@dataclass(frozen=True)
class TextPart:
    """Where a text encoder lies in such files, and what they do not say of it."""

    prefix: str
    openclip: bool = False
    """Whether its weights are laid out as OpenCLIP does, not as transformers."""

    activation: str = "quick_gelu"
    padding: str | None = None
    """What fills prompts up for it; None for what the tokenizer says."""


class Checkpoint:
    """A single file with its header, and the configuration of each part as diffusers and CLIP have it."""

    family: str
    title: str
    edge: int
    """Latent positions along an edge of the pictures that it was trained on."""

    attending: tuple[bool, ...]
    """Which of the U-Net's blocks, from the outermost on, read the prompt."""

    latent_scale: float
    texts: Mapping[str, TextPart]
    """Text encoders by component."""

    scheduler_class: str
    schedule: Mapping[str, object]

    def __init__(self, file: Path, header: Header) -> None:
        self.file, self.header = file, header

    @property
    def unet(self) -> dict[str, Any]:
        """Of UNet2DConditionModel."""
        down = ["CrossAttnDownBlock2D" if reads else "DownBlock2D" for reads in self.attending]
        up = ["CrossAttnUpBlock2D" if reads else "UpBlock2D" for reads in reversed(self.attending)]
        context = self.transformer(self.attending.index(True)) + "0.attn2.to_k.weight"
        return {
            "sample_size": self.edge,
            "in_channels": self.shape(f"{UNET}input_blocks.0.0.weight")[1],
            "out_channels": self.shape(f"{UNET}out.2.weight")[0],
            "block_out_channels": [
                self.shape(f"{UNET}input_blocks.{3 * block + 1}.0.out_layers.3.weight")[0]
                for block in range(len(self.attending))
            ],
            "layers_per_block": 2,
            "down_block_types": down,
            "up_block_types": up,
            "cross_attention_dim": self.shape(context)[1],
        }

    @property
    def vae(self) -> dict[str, Any]:
        """Of AutoencoderKL."""
        firsts = [self.shape(f"{VAE}encoder.down.{n}.block.0.conv2.weight") for n in range(4)]
        return {
            "sample_size": LATENT_PIXELS * self.edge,
            "block_out_channels": [shape[0] for shape in firsts],
            "down_block_types": ["DownEncoderBlock2D"] * 4,
            "up_block_types": ["UpDecoderBlock2D"] * 4,
            "layers_per_block": 2,
            "latent_channels": self.shape(f"{VAE}decoder.conv_in.weight")[1],
            "scaling_factor": self.latent_scale,
        }

    def text_encoder(self, component: str = "text_encoder") -> dict[str, Any]:
        """Of CLIPTextModel, but for the ids of special tokens, which the tokenizer knows."""
        part = self.texts[component]
        layers = {
            int(found[1])
            for name in self.header.shapes
            if name.startswith(part.prefix) and (found := TEXT_LAYER.search(name))
        }
        words, width = self._text_shape(component, "embeddings.token_embedding.weight")[:2]
        positions = self._text_shape(component, "embeddings.position_embedding.weight")[0]
        return {
            "vocab_size": words,
            "hidden_size": width,
            "intermediate_size": self._text_shape(component, "encoder.layers.0.mlp.fc1.weight")[0],
            "num_hidden_layers": len(layers),
            "num_attention_heads": max(1, width // CLIP_HEAD_WIDTH),
            "max_position_embeddings": positions,
            "projection_dim": self._projection(component) if part.openclip else width,
            "hidden_act": part.activation,
        }

    @property
    def scheduler(self) -> Mapping[str, Any]:
        """Of its scheduler's class; the end of the noise is pure where a tensor called `ztsnr` says so."""
        found = dict(self.schedule) | {"prediction_type": self.prediction}
        return found | ({"rescale_betas_zero_snr": True} if "ztsnr" in self.header.shapes else {})

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

    def check(self) -> None:
        """Raises InvalidInput unless it is a whole base whose parts are made for each other."""
        texts = {text.prefix: part.replace("_", " ") for part, text in self.texts.items()}
        for start, part in ({UNET: "U-Net", VAE: "autoencoder"} | texts).items():
            if not any(name.startswith(start) for name in self.header.shapes):
                raise InvalidInput(
                    f"{self.file} has no {part}: no tensor's name begins with {start}"
                )
        if (channels := self.unet["in_channels"]) != self.vae["latent_channels"]:
            raise InvalidInput(
                f"{self.file}: its U-Net reads {channels} channels, as for inpainting; 4 are known"
            )
        widths = [self.text_encoder(part)["hidden_size"] for part in self.texts]
        if (wanted := self.unet["cross_attention_dim"]) != sum(widths):
            raise InvalidInput(
                f"{self.file}: its U-Net reads texts of width {wanted}, its text encoders give {sum(widths)}"
            )

    def place(self, component: str, name: str) -> Place:
        """Where a text encoder's weight lies that transformers calls `name`."""
        text, short = self.texts[component], name.removeprefix(CLIP_PREFIX)
        if text.openclip:
            found = openclip_place(short)
            return found._replace(key=text.prefix + found.key)
        prefixed = f"{text.prefix}{CLIP_PREFIX}{short}"
        return Place(prefixed if prefixed in self.header.shapes else text.prefix + short)

    def transformer(self, block: int) -> str:
        """What the names of the layers begin with that read the prompt first in a block on the way down."""
        return f"{UNET}input_blocks.{3 * block + 1}.1.transformer_blocks."

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor with two axes or more; raises InvalidInput when it is missing, or has less."""
        shape = self.header.shapes.get(name, ())
        if len(shape) < 2:
            what = f"has the shape {list(shape)}" if name in self.header.shapes else "is missing"
            raise InvalidInput(f"{self.file} is no whole {self.title}: {name} {what}")
        return shape

    def _text_shape(self, component: str, name: str) -> tuple[int, ...]:
        return self.shape(self.place(component, name).key)

    def _projection(self, component: str) -> int:
        return self._text_shape(component, "text_projection.weight")[1]
