"""Train a small ControlNet or T2I-Adapter that follows outlines; the base model stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionPipeline, T2IAdapter
from torch import Tensor

from fedshow.toyworld import WEIGHTS
from fedshow.toyworld.training.datasets import load_captions, load_images, load_outlines
from fedshow.toyworld.training.loop import LoopSettings, TrainingLoop
from fedshow.toyworld.training.options import add_images, run_stage, stage_parser
from fedshow.toyworld.training.parallel import Rank
from fedshow.toyworld.training.unet import encode_captions, stratified_timesteps
from fedshow.toyworld.training.vae import to_pixels

EMPTY_CAPTION_SHARE = 0.5
"""So often the outline is all there is to go by."""


@dataclass(frozen=True)
class ConditionSettings:
    """What is trained, and on what."""

    loop: LoopSettings
    images: Path
    base: Path
    kind: str
    batch: int


def build_controlnet(unet: Any) -> ControlNetModel:
    """A copy of the U-Net's convolutions down to the middle, without its attention: a third of its size."""
    levels = unet.config.block_out_channels
    net = ControlNetModel(
        in_channels=unet.config.in_channels,
        conditioning_channels=1,
        block_out_channels=levels,
        down_block_types=("DownBlock2D",) * len(levels),
        mid_block_type="UNetMidBlock2D",
        layers_per_block=unet.config.layers_per_block,
        cross_attention_dim=unet.config.cross_attention_dim,
        attention_head_dim=unet.config.attention_head_dim,
        norm_num_groups=unet.config.norm_num_groups,
        conditioning_embedding_out_channels=(16, 32, 64),
    )
    own, theirs = net.state_dict(), unet.state_dict()
    net.load_state_dict(own | {name: theirs[name] for name in own.keys() & theirs.keys()})
    return net


def build_adapter(unet: Any, factor: int) -> T2IAdapter:
    """An adapter of the U-Net's levels, for pictures `factor` times as large as latents."""
    return T2IAdapter(
        in_channels=1,
        channels=list(unet.config.block_out_channels),
        num_res_blocks=2,
        downscale_factor=factor,
    )


def residuals(module: Any, outlines: Tensor, noisy: Tensor, when: Tensor) -> dict[str, Any]:
    """What the U-Net takes besides: outlines N × 1 × H × W from 0 to 1."""
    if isinstance(module, T2IAdapter):
        return {"down_intrablock_additional_residuals": module(outlines)}
    nothing = noisy.new_zeros(len(noisy), 1, module.config.cross_attention_dim)
    down, middle = module(noisy, when, nothing, outlines, return_dict=False)
    return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}


def open_frozen(folder: Path, device: str) -> Any:
    """The base, which is not trained."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    for part in (pipeline.unet, pipeline.text_encoder, pipeline.vae):
        part.requires_grad_(False).eval()
    return pipeline.to(device)


@torch.no_grad()
def encode(pipeline: Any, settings: ConditionSettings, rank: Rank) -> tuple[Tensor, Tensor, Tensor]:
    """This process's latents, outlines and token ids; of each image its first caption."""
    images, outlines = load_images(settings.images), load_outlines(settings.images)
    rows, vae = np.arange(rank.number, len(images), rank.count), pipeline.vae
    latents = [
        vae.encode(to_pixels(images[part]).to(vae.device)).latent_dist.mean.cpu()
        for part in np.array_split(rows, max(1, len(rows) // 256))
    ]
    captions = [[texts[0]] for texts in load_captions(settings.images)[rank.number :: rank.count]]
    tokens = torch.from_numpy(encode_captions(pipeline.tokenizer, captions))[:, 0].long()
    drawn = torch.from_numpy(np.array(outlines[rows]))[:, None].float() / 255
    return torch.cat(latents) * vae.config.scaling_factor, drawn, tokens


def train_condition(settings: ConditionSettings, rank: Rank) -> None:
    """Train to the end; the averaged weights are written to `folder/module`."""
    torch.manual_seed(settings.loop.seed)
    pipeline = open_frozen(settings.base, settings.loop.device)
    unet, scheduler = pipeline.unet, pipeline.scheduler
    latents, outlines, tokens = encode(pipeline, settings, rank)
    empty = torch.from_numpy(encode_captions(pipeline.tokenizer, [[""]]))[0, 0].long()
    module: Any = build_module(settings.kind, pipeline)
    kept, device = scheduler.alphas_cumprod.to(settings.loop.device), settings.loop.device

    def loss(generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(latents), (settings.batch,), generator=generator)
        dropped = torch.rand(settings.batch, generator=generator) < EMPTY_CAPTION_SHARE
        words = torch.where(dropped[:, None], empty, tokens[rows]).to(device)
        clean, when = latents[rows], stratified_timesteps(settings.batch, rank, generator)
        noise = torch.randn(clean.shape, generator=generator)
        noisy = scheduler.add_noise(clean, noise, when).to(device)
        target = scheduler.get_velocity(clean, noise, when).to(device)
        when = when.to(device)
        with torch.no_grad():
            context = pipeline.text_encoder(words).last_hidden_state
        extra = residuals(module, outlines[rows].to(device), noisy, when)
        found = unet(noisy, when, encoder_hidden_states=context, **extra).sample
        snr = kept[when] / (1 - kept[when])
        error: Tensor = (found - target).square().mean(dim=(1, 2, 3))
        weighted: Tensor = error * snr.clamp(max=5) / (snr + 1)
        return weighted.mean()

    def report(loop: TrainingLoop, mean_loss: float) -> None:
        print(f"{loop.seconds:.0f} s, step {loop.step}, loss {mean_loss:.4f}", flush=True)
        if loop.share_done >= 1:
            averaged = build_module(settings.kind, pipeline)
            averaged.load_state_dict(loop.average)
            averaged.half().save_pretrained(settings.loop.folder / "module")

    TrainingLoop(module.to(device), settings.loop, rank).run(loss, report)


def build_module(kind: str, pipeline: Any) -> Any:
    """An untrained one for this base."""
    if kind == "control":
        return build_controlnet(pipeline.unet)
    return build_adapter(pipeline.unet, pipeline.vae_scale_factor)


def main() -> None:
    """Train one from the command line."""
    parser = stage_parser(__doc__, learning_rate=1e-3, average_decay=0.995)
    add_images(parser)
    parser.add_argument("--base", type=Path, default=WEIGHTS, help="folder of the base model")
    parser.add_argument("--kind", choices=("control", "adapter"), required=True)
    parser.add_argument("--batch", type=int, default=32, help="in each process")
    run_stage(train_condition, ConditionSettings, parser)


if __name__ == "__main__":
    main()
