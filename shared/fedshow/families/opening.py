"""Opening base models: the embedded toyworld, a local diffusers folder or single file, or a hub id."""

import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from fedshow.concepts.header import BaseRef
from fedshow.errors import InvalidInput
from fedshow.families.card import BaseCard
from fedshow.families.encoded import Encoded
from fedshow.families.family import Family
from fedshow.families.fetching import fetched
from fedshow.families.filling import open_part
from fedshow.families.fingerprint import fingerprint
from fedshow.families.hub import refusal
from fedshow.families.locating import locate, public_name
from fedshow.families.placing import computes_on
from fedshow.families.single_file import open_single_file
from fedshow.families.telling import FAMILIES, family_at, family_of
from fedshow.families.text_encoder import TextEncoder

__all__ = ["FAMILIES", "Base", "describe", "describe_pipeline", "load_pipeline", "open_base"]


@dataclass
class Base:
    """A base model in memory: its stock pipeline, its family, its card."""

    pipeline: Any
    family: Family
    card: BaseCard
    folder: str
    """What diffusers loads it from again."""

    @property
    def components(self) -> dict[str, nn.Module]:
        """The parts that adapters may change."""
        return self.family.components(self.pipeline)

    @property
    def parts(self) -> dict[str, nn.Module]:
        """All that has weights."""
        return self.components | {"vae": self.vae}

    @property
    def denoiser(self) -> Any:
        """What predicts noise or velocity: the U-Net or the transformer."""
        return getattr(self.pipeline, self.family.denoiser)

    @property
    def vae(self) -> Any:
        """The autoencoder between pictures and latents."""
        return self.pipeline.vae

    @property
    def text_encoders(self) -> list[TextEncoder]:
        """With their tokenizers, in the order of their features."""
        return self.family.text_encoders(self.pipeline)

    @property
    def prompt_tokens(self) -> int:
        """How many tokens of a prompt the text encoders read."""
        return self.text_encoders[0].tokenizer.model_max_length

    @property
    def layers(self) -> dict[str, nn.Linear]:
        """Concept-file module name to the linear layer that takes an adapter."""
        return self.family.adapted_layers(self.components)

    @property
    def device(self) -> torch.device:
        """Where the denoiser computes."""
        return computes_on(self.denoiser)

    @property
    def dtype(self) -> torch.dtype:
        """What the denoiser computes in."""
        dtype: torch.dtype = self.denoiser.dtype
        return dtype

    @property
    def factor(self) -> int:
        """How many pixels an edge of a latent position covers."""
        return int(self.pipeline.vae_scale_factor)

    @property
    def multiple(self) -> int:
        """What edges of pictures must be multiples of: of 8 in stock pipelines, and of whole patches."""
        return math.lcm(8, self.factor * int(self.denoiser.config.get("patch_size") or 1))

    @property
    def sample_pixels(self) -> int:
        """The edge of the pictures the base was trained on."""
        return int(self.denoiser.config.sample_size * self.factor)

    def denoise(self, noisy_BCHW: Tensor, times_B: Tensor, encoded: Encoded) -> Tensor:
        """What the denoiser predicts of noisy latents, told a prompt for each.

        What is pooled may be of one prompt for all of them; features, too, where attention takes it so.
        """
        size = noisy_BCHW.shape[-2] * self.factor, noisy_BCHW.shape[-1] * self.factor
        inputs = self.family.denoiser_inputs(
            self.pipeline, encoded.for_pictures(len(noisy_BCHW)), size
        )
        times = times_B.reshape(-1).expand(len(noisy_BCHW))
        predicted: Tensor = self.denoiser(noisy_BCHW, timestep=times, **inputs).sample
        return predicted


def open_base(base: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Base:
    """The base model `base` on `device`.

    Raises InvalidInput when it is not one that fedshow knows, Unreachable when it cannot be fetched.
    """
    folder = locate(base)
    pipeline = load_pipeline(folder, device, dtype)
    family = family_of(pipeline)
    ref = BaseRef(name=public_name(base), sha256=_fingerprint(family, pipeline))
    card = describe_pipeline(ref, family, pipeline)
    return Base(pipeline, family, card, folder)


def describe(base: str) -> BaseCard:
    """The card of a base model: name, fingerprint, slots and adapted layers."""
    return open_base(base).card


def load_pipeline(located: str, device: str, dtype: torch.dtype) -> Any:
    """The stock diffusers pipeline of a folder, single file or hub id, frozen, without a progress bar.

    Raises InvalidInput when there is none, Unreachable when the hub cannot be asked now.
    """
    quiet_libraries()
    where = Path(located)
    try:
        if where.is_file():
            pipeline = open_single_file(where, dtype)
            family = family_of(pipeline)
        else:
            folder = where if where.is_dir() else fetched(located)
            family = family_at(folder)
            pipeline = _open_folder(folder, family, dtype)
    except (OSError, ValueError, SafetensorError, InvalidInput) as error:
        raise refusal(f"base {located!r}", error) from error
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    for part in (*family.components(pipeline).values(), pipeline.vae):
        part.requires_grad_(False).eval()
    return pipeline


def _open_folder(folder: Path, family: Family, dtype: torch.dtype) -> Any:
    """The pipeline with our own parts: stock ones take half as much memory again for halves, or pickles."""
    import diffusers

    parts = {
        name: open_part(folder / name, class_name, dtype)
        for name, class_name in family.parts.items()
        if class_name != "CLIPTokenizer"
    }
    opener = getattr(diffusers, family.pipeline_class)
    return opener.from_pretrained(folder, **parts, **family.opening_options)


def quiet_libraries() -> None:
    """Silences start-up notes (no torchvision here) and progress bars that are not ours."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    for library in ("transformers", "diffusers"):
        logging.getLogger(library).setLevel(logging.ERROR)
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def describe_pipeline(ref: BaseRef, family: Family, pipeline: Any) -> BaseCard:
    """The card of a loaded pipeline that counts as the base `ref`."""
    components = family.components(pipeline)
    layers = family.adapted_layers(components)
    slots = {slot for _, slot in family.slotted_layers(components[family.denoiser])}
    first, *others = [encoder.token_dim for encoder in family.text_encoders(pipeline)]
    return BaseCard(
        name=ref.name,
        sha256=ref.sha256,
        family=family.name,
        slots=max(1, len(slots)),
        token_dim=first,
        token_dim_2=next(iter(others), None),
        layers={key: (layer.in_features, layer.out_features) for key, layer in layers.items()},
    )


def _fingerprint(family: Family, pipeline: Any) -> str:
    return fingerprint(family.components(pipeline) | {"vae": pipeline.vae})
