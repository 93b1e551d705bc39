"""Opening a checkpoint in one file as the stock pipeline of Stable Diffusion 1.x."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fedshow.families.checkpoint import TEXT, UNET, VAE, Checkpoint, read_checkpoint
from fedshow.families.family import Family
from fedshow.families.filling import Weights, fill, make_empty, make_from_dict, todays
from fedshow.families.tokenizer import clip_tokenizer
from fedshow.formats.ldm import unet_names, vae_names


def open_single_file(file: Path, family: Family, dtype: torch.dtype) -> Any:
    """The pipeline of a single file; raises InvalidInput naming what is wrong in it.

    Its tokenizer is CLIP's own, which such a file does not have: see `clip_tokenizer`.
    """
    import diffusers

    checkpoint, weights = read_checkpoint(file), Weights([file])
    tokenizer = clip_tokenizer(checkpoint)
    parts = {
        "unet": _filled(
            make_from_dict("UNet2DConditionModel", checkpoint.unet), weights, UNET, dtype
        ),
        "vae": _filled(make_from_dict("AutoencoderKL", checkpoint.vae), weights, VAE, dtype),
        "text_encoder": _text_encoder(checkpoint, tokenizer, weights, dtype),
    }
    return getattr(diffusers, family.pipeline_class)(
        **parts,
        tokenizer=tokenizer,
        scheduler=diffusers.DDIMScheduler(**checkpoint.scheduler),
        feature_extractor=None,
        **family.opening_options,
    )


def _filled(part: nn.Module, weights: Weights, prefix: str, dtype: torch.dtype) -> nn.Module:
    """A diffusers component with what LDM calls its weights."""
    theirs: Mapping[str, str] = (unet_names if prefix == UNET else vae_names)(
        part.state_dict().keys()
    )
    return fill(part, weights, {name: prefix + theirs[name] for name in theirs}, dtype)


def _text_encoder(
    checkpoint: Checkpoint, tokenizer: Any, weights: Weights, dtype: torch.dtype
) -> nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel

    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = CLIPTextConfig(**checkpoint.text_encoder, **special)
    part = make_empty(lambda: CLIPTextModel(config))
    stored = {
        todays(name.removeprefix(TEXT)): name for name in weights.shapes if name.startswith(TEXT)
    }
    names = {name: stored.get(todays(name), TEXT + name) for name in part.state_dict()}
    return fill(part, weights, names, dtype)
