"""A whole checkpoint in one file, in the layout that ComfyUI and A1111 call a checkpoint (LDM's).

Adapters are in the weights. Its vocabulary is CLIP's own, of fixed size: words lie beside the file.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from fedshow.errors import InvalidInput
from fedshow.families.checkpoint import CLIP_PREFIX, UNET, VAE
from fedshow.families.checkpoint_kinds import KINDS
from fedshow.families.ldm import unet_names, vae_names
from fedshow.families.telling import FAMILIES
from fedshow.formats.about import About
from fedshow.formats.beside import words_beside
from fedshow.formats.clip import TABLES, as_openclip, as_transformers
from fedshow.formats.format import Format, Options
from fedshow.formats.source import Source
from fedshow.formats.words import write_embeddings

ARCHITECTURES = {"sd1": "stable-diffusion-v1", "sdxl": "stable-diffusion-xl-v1-base"}
PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "v"}


def write(source: Source, out: Path, about: About, options: Options) -> None:
    """The checkpoint at `out`, in half precision unless told otherwise; words beside it in a folder."""
    if about.family not in KINDS:
        raise InvalidInput(
            f"family {about.family!r}: single files are written of {', '.join(KINDS)}"
        )
    pipeline, _ = source.merged
    dtype = torch.float32 if options.full else torch.float16
    tensors = {
        key: value.to(dtype).contiguous() for key, value in checkpoint(pipeline, about).items()
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        whole = Path(folder) / out.name
        save_file(tensors, whole, metadata=_metadata(pipeline, about))
        whole.replace(out)
    if about.concepts:
        write_embeddings(words_beside(out), source.content, about)


def checkpoint(pipeline: Any, about: About) -> dict[str, Tensor]:
    """Every weight of a stock pipeline by LDM's names."""
    unet, vae = pipeline.unet.state_dict(), pipeline.vae.state_dict()
    unet_keys, vae_keys = unet_names(unet.keys()), vae_names(vae.keys())
    found = {UNET + unet_keys[name]: value for name, value in unet.items()}
    for name, value in vae.items():
        key = VAE + vae_keys[name]
        found[key] = value[..., None, None] if _is_attention(key, value) else value
    for encoder in FAMILIES[about.family].text_encoders(pipeline):
        part, weights = KINDS[about.family].texts[encoder.component], encoder.module.state_dict()
        prefix = part.prefix if part.openclip else part.prefix + CLIP_PREFIX
        rows = _vocabulary(encoder.tokenizer, about)
        for name, value in (as_openclip if part.openclip else as_transformers)(weights).items():
            found[prefix + name] = value[:rows] if name in TABLES else value
    return found


def _is_attention(key: str, value: Tensor) -> bool:
    """The autoencoder's attention is linear in diffusers, made of 1×1 convolutions in LDM."""
    return ".attn_" in key and value.ndim == 2


def _vocabulary(tokenizer: Any, about: About) -> int | None:
    """How many of the table's rows are the base's own: those before the first word of a concept."""
    known: Mapping[str, int] = tokenizer.get_vocab()
    return min((known[word] for word in about.words if word in known), default=None)


def _metadata(pipeline: Any, about: About) -> dict[str, str]:
    """As Stability's model specification has it, and ours."""
    prediction = pipeline.scheduler.config.prediction_type
    return {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": ARCHITECTURES[about.family],
        "modelspec.title": about.title,
        "modelspec.prediction_type": PREDICTIONS.get(prediction, prediction),
        **about.metadata(),
    }


SINGLE_FILE = Format(
    "single-file",
    ".safetensors",
    False,
    write,
    merges=True,
    options=frozenset({"base", "full"}),
)
