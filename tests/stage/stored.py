"""Tiny bases with random weights, that of Stable Diffusion 1.x stored in all the ways in which bases come."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fedshow.families.checkpoint import CLIP_PREFIX, UNET, VAE
from fedshow.families.checkpoint_kinds import SD1Checkpoint, SDXLCheckpoint
from fedshow.families.ldm import unet_names, vae_names
from fedshow.families.opening import quiet_libraries
from fedshow.toyworld import WEIGHTS

TOKENIZER = WEIGHTS / "tokenizer"
WIDTH = 64
PARTS = ("text_encoder", "unet", "vae")
TEXT = SD1Checkpoint.texts["text_encoder"].prefix
OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def make_base(folder: Path, channels: tuple[int, ...] = (32, 32, 64, 64), **schedule: Any) -> Path:
    """A folder as diffusers saves it, with true layer counts, heads and groups."""
    quiet_libraries()
    import diffusers
    from transformers import CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER, model_max_length=77)
    pipeline = diffusers.StableDiffusionPipeline(
        unet=diffusers.UNet2DConditionModel(
            sample_size=64,
            block_out_channels=channels,
            cross_attention_dim=WIDTH,
            attention_head_dim=8,
        ),
        vae=_vae(sample_size=512),
        text_encoder=CLIPTextModel(_text_config(tokenizer, WIDTH, layers=12)),
        tokenizer=tokenizer,
        scheduler=diffusers.DDIMScheduler(**{**SD1Checkpoint.schedule, **schedule}),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def make_sdxl(folder: Path) -> Path:
    """Stable Diffusion XL with what its single files do not say: its heads, groups and activations."""
    quiet_libraries()
    import diffusers
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    torch.manual_seed(0)
    tokenizer, tokenizer_2 = (
        CLIPTokenizer.from_pretrained(TOKENIZER, model_max_length=77, pad_token=padding)
        for padding in ("<|endoftext|>", "!")
    )
    second = _text_config(tokenizer_2, 2 * WIDTH, layers=3, hidden_act="gelu")
    pipeline = diffusers.StableDiffusionXLPipeline(
        unet=diffusers.UNet2DConditionModel(
            sample_size=128,
            block_out_channels=(32, 64, 32),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 10),
            use_linear_projection=True,
            cross_attention_dim=3 * WIDTH,
            attention_head_dim=(1, 1, 1),
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 2 * WIDTH,
        ),
        vae=_vae(sample_size=1024, scaling_factor=0.13025),
        text_encoder=CLIPTextModel(_text_config(tokenizer, WIDTH, layers=2)),
        text_encoder_2=CLIPTextModelWithProjection(second),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        scheduler=diffusers.EulerDiscreteScheduler(**SDXLCheckpoint.schedule),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def _text_config(tokenizer: Any, width: int, layers: int, **more: Any) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        projection_dim=width,
        **more,
    )


def _vae(sample_size: int, **more: Any) -> Any:
    import diffusers

    return diffusers.AutoencoderKL(
        block_out_channels=(32,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=sample_size,
        **more,
    )


def weights(folder: Path, part: str) -> Path:
    """The file with a part's weights, in a folder as `make_base` leaves it."""
    stem = "model" if part == "text_encoder" else "diffusion_pytorch_model"
    return folder / part / f"{stem}.safetensors"


def _rewritten(
    base: Path, out: Path, change: Callable[[str, Path, dict[str, Tensor]], None]
) -> Path:
    """A copy of a base; `change` writes a part's weights anew, told its name, its file and the weights."""
    shutil.copytree(base, out)
    for part in PARTS:
        file = weights(out, part)
        tensors = load_file(file)
        file.unlink()
        change(part, file, tensors)
    return out


def in_halves(base: Path, out: Path) -> Path:
    """Nothing but the variant fp16."""

    def change(_: str, file: Path, tensors: dict[str, Tensor]) -> None:
        save_file({k: v.half() for k, v in tensors.items()}, file.with_suffix(".fp16.safetensors"))

    return _rewritten(base, out, change)


def sharded(base: Path, out: Path, variant: str = "") -> Path:
    """Every part in two files and an index."""

    def change(_: str, file: Path, tensors: dict[str, Tensor]) -> None:
        names = sorted(tensors)
        shards = {
            f"{file.stem}{variant}-0000{number + 1}-of-00002.safetensors": names[number::2]
            for number in range(2)
        }
        for shard, members in shards.items():
            save_file({name: tensors[name] for name in members}, file.with_name(shard))
        index = {"weight_map": {name: shard for shard in shards for name in shards[shard]}}
        beside = file.with_name(f"{file.name}.index{variant}.json")
        beside.write_text(json.dumps({"metadata": {}, **index}))

    return _rewritten(base, out, change)


def in_old_names(base: Path, out: Path) -> Path:
    """As libraries of 2022 saved it: CLIP's prefix and position ids, attention of 1x1 convolutions."""

    def change(part: str, file: Path, tensors: dict[str, Tensor]) -> None:
        if part == "text_encoder":
            tensors = {f"{CLIP_PREFIX}{k.removeprefix(CLIP_PREFIX)}": v for k, v in tensors.items()}
            tensors[f"{CLIP_PREFIX}embeddings.position_ids"] = torch.arange(77)[None]
        if part == "vae":
            tensors = {_old_attention(key): value for key, value in tensors.items()}
        save_file(tensors, file)

    return _rewritten(base, out, change)


def _old_attention(key: str) -> str:
    for new, old in OLD_ATTENTION.items():
        key = key.replace(f".attentions.0.{new}.", f".attentions.0.{old}.")
    return key


def checkpoint_tensors(base: Path) -> dict[str, Tensor]:
    """The weights of a folder by the names of a single file."""
    unet, vae, text = (load_file(weights(base, part)) for part in ("unet", "vae", "text_encoder"))
    unet_keys, vae_keys = unet_names(unet.keys()), vae_names(vae.keys())
    found = {UNET + unet_keys[name]: value for name, value in unet.items()}
    for name, value in vae.items():
        turned = ".attentions." in name and value.ndim == 2
        found[VAE + vae_keys[name]] = value[..., None, None] if turned else value
    for name, value in text.items():
        found[f"{TEXT}{CLIP_PREFIX}{name.removeprefix(CLIP_PREFIX)}"] = value
    return {name: value.contiguous() for name, value in found.items()}


def single_file(
    base: Path,
    out: Path,
    dtype: torch.dtype = torch.float32,
    metadata: Mapping[str, str] | None = None,
    **more: Tensor,
) -> Path:
    """A checkpoint in one file, as A1111 reads it."""
    tensors = {k: v.to(dtype) for k, v in checkpoint_tensors(base).items()}
    save_file({**tensors, **more}, out, metadata={"format": "pt", **(metadata or {})})
    return out
