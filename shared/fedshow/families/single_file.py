"""Opening a checkpoint in one file as the stock pipeline of its family."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fedshow.families.checkpoint import UNET, VAE
from fedshow.families.checkpoint_kinds import read_checkpoint
from fedshow.families.filling import Weights, fill, make_empty, make_from_dict
from fedshow.families.ldm import unet_names, vae_names
from fedshow.families.stored import Place
from fedshow.families.telling import FAMILIES
from fedshow.families.tokenizer import clip_tokenizer


def open_single_file(file: Path, dtype: torch.dtype) -> Any:
    """The pipeline of a single file; raises InvalidInput naming what is wrong in it.

    Its tokenizers are CLIP's own, which such a file does not have: see `clip_tokenizer`.
    """
    import diffusers

    checkpoint, weights = read_checkpoint(file), Weights([file])
    family, parts = FAMILIES[checkpoint.family], {}
    for component in checkpoint.texts:
        tokenizer = clip_tokenizer(checkpoint, component)
        part = _text_encoder(family.parts[component], checkpoint.text_encoder(component), tokenizer)
        places = {name: checkpoint.place(component, name) for name in part.state_dict()}
        parts[component] = fill(part, weights, places, dtype)
        parts[component.replace("text_encoder", "tokenizer")] = tokenizer
    for component, said, prefix in (
        ("unet", checkpoint.unet, UNET),
        ("vae", checkpoint.vae, VAE),
    ):
        part = make_from_dict(family.parts[component], said)
        parts[component] = fill(part, weights, _places(part, prefix), dtype)
    return getattr(diffusers, family.pipeline_class)(
        **parts,
        scheduler=getattr(diffusers, checkpoint.scheduler_class)(**checkpoint.scheduler),
        **family.opening_options,
    )


def _text_encoder(class_name: str, said: Mapping[str, Any], tokenizer: Any) -> nn.Module:
    """Without weights."""
    import transformers

    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    kind = getattr(transformers, class_name)
    config = kind.config_class(**said, **special)
    return make_empty(lambda: kind(config))


def _places(part: nn.Module, prefix: str) -> dict[str, Place]:
    """Where LDM has the weights of a diffusers component."""
    theirs = (unet_names if prefix == UNET else vae_names)(part.state_dict().keys())
    return {ours: Place(prefix + name) for ours, name in theirs.items()}
