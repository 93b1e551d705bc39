"""Train text encoder and U-Net of the toy world on the autoencoder's latents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from fedshow.toyworld.training.datasets import load_captions, load_images
from fedshow.toyworld.training.loop import LoopSettings, TrainingLoop
from fedshow.toyworld.training.options import (
    add_images,
    add_network,
    add_vae,
    run_stage,
    stage_parser,
)
from fedshow.toyworld.training.parallel import Rank
from fedshow.toyworld.training.tokens import MAX_TOKENS, build_tokenizer, caption_words
from fedshow.toyworld.training.transfers import normal, there
from fedshow.toyworld.training.vae import to_pixels

EMPTY_CAPTION_SHARE = 0.1


@dataclass(frozen=True)
class UnetSettings:
    """The shape of the denoiser and its data."""

    loop: LoopSettings
    images: Path
    vae: Path
    channels: tuple[int, ...]
    hidden: int
    batch: int
    min_snr: float
    snapshot_minutes: float
    compiled: bool


class Denoiser(nn.Module):
    """Text encoder and U-Net as one module, so that one optimizer trains both."""

    def __init__(self, text_encoder: CLIPTextModel, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.text_encoder, self.unet = text_encoder, unet

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        """The predicted velocity."""
        context = self.text_encoder(tokens).last_hidden_state
        velocity: Tensor = self.unet(noisy, timesteps, encoder_hidden_states=context).sample
        return velocity


def build_scheduler() -> DDIMScheduler:
    """The noise schedule of Stable Diffusion, with v-prediction."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
    )


def build_denoiser(
    tokenizer: CLIPTokenizer, latent_channels: int, latent_size: int, settings: UnetSettings
) -> Denoiser:
    """Untrained text encoder and U-Net; every level has cross-attention."""
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden,
        intermediate_size=4 * settings.hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        projection_dim=settings.hidden,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    levels = len(settings.channels)
    unet = UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=settings.channels,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        layers_per_block=1,
        cross_attention_dim=settings.hidden,
        attention_head_dim=4,
        norm_num_groups=16,
    )
    return Denoiser(CLIPTextModel(text), unet)


@torch.no_grad()
def encode_latents(settings: UnetSettings, rank: Rank) -> None:
    """Write this process's part of the latents, unless it is there already."""
    path = latents_path(settings, rank.number)
    if path.exists():
        return
    images, device = load_images(settings.images), torch.device(settings.loop.device)
    vae = AutoencoderKL.from_pretrained(settings.vae)
    vae.to(device, memory_format=torch.channels_last).eval()
    parts: list[npt.NDArray[np.float16]] = []
    rows = np.arange(rank.number, len(images), rank.count)
    for start in range(0, len(rows), 256):
        pixels = to_pixels(images[rows[start : start + 256]], device)
        latents = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
        parts.append(latents.half().cpu().numpy())
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, np.concatenate(parts))
    partial.replace(path)


def latents_path(settings: UnetSettings, number: int) -> Path:
    """Where one process keeps its part of the latents."""
    return settings.loop.folder / f"latents-{number}.npy"


def encode_captions(tokenizer: CLIPTokenizer, captions: list[list[str]]) -> npt.NDArray[np.int16]:
    """Token ids: images × captions of each × positions; one more row of captions is empty."""
    flat = [text for texts in captions for text in texts]
    ids = tokenizer(flat, padding="max_length", truncation=True, max_length=MAX_TOKENS)
    array = np.asarray(ids["input_ids"], dtype=np.int16)
    return array.reshape(len(captions), -1, MAX_TOKENS)


def stratified_timesteps(batch: int, rank: Rank, generator: torch.Generator) -> Tensor:
    """One timestep from each of as many equal parts of 0…999 as all processes have samples."""
    strata = torch.arange(batch) * rank.count + rank.number
    return ((strata + torch.rand(batch, generator=generator)) * 1000 / (batch * rank.count)).long()


class Batches:
    """Latents and tokens of this process's share of the data, on its device, drawn by lot."""

    def __init__(self, settings: UnetSettings, tokenizer: CLIPTokenizer, rank: Rank) -> None:
        self.batch, self.rank = settings.batch, rank
        self.device = torch.device(settings.loop.device)
        latents = torch.from_numpy(np.load(latents_path(settings, rank.number)))
        self.latents = latents.to(self.device)
        captions = load_captions(settings.images)[rank.number :: rank.count]
        self.tokens = torch.from_numpy(encode_captions(tokenizer, captions)).to(self.device)
        empty = torch.from_numpy(encode_captions(tokenizer, [[""]]))[0, 0]
        self.empty = empty.to(self.device)

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Latents and token ids of one batch; one caption in ten is empty."""
        rows = torch.randint(len(self.latents), (self.batch,), generator=generator)
        which = torch.randint(self.tokens.shape[1], (self.batch,), generator=generator)
        dropped = torch.rand(self.batch, generator=generator) < EMPTY_CAPTION_SHARE
        rows, which, dropped = (there(lot, self.device) for lot in (rows, which, dropped))
        tokens = self.tokens[rows, which]
        tokens = torch.where(dropped[:, None], self.empty, tokens)
        return self.latents[rows].float(), tokens.long()


def train_unet(settings: UnetSettings, rank: Rank) -> None:
    """Train to the end; the averaged weights are written to `folder/pipeline` now and then."""
    torch.manual_seed(settings.loop.seed)
    encode_latents(settings, rank)
    device, tokenizer = torch.device(settings.loop.device), build_tokenizer(caption_words())
    batches = Batches(settings, tokenizer, rank)
    channels, size = batches.latents.shape[1:3]
    denoiser = build_denoiser(tokenizer, channels, size, settings)
    denoiser.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if settings.compiled:
        denoiser.compile()
    scheduler = build_scheduler()
    kept = scheduler.alphas_cumprod.to(device)
    snapshots = [0.0]

    def loss(generator: torch.Generator) -> Tensor:
        latents, tokens = batches.draw(generator)
        timesteps = there(stratified_timesteps(settings.batch, rank, generator), device)
        noise = normal(latents, generator)
        noisy = scheduler.add_noise(latents, noise, timesteps)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        target = scheduler.get_velocity(latents, noise, timesteps)
        error = (denoiser(noisy, timesteps, tokens) - target).square().mean(dim=(1, 2, 3))
        snr = kept[timesteps] / (1 - kept[timesteps])
        # Min-SNR weights for v-prediction (Hang et al. 2023, arXiv 2303.09556).
        weighted: Tensor = error * snr.clamp(max=settings.min_snr) / (snr + 1)
        return weighted.mean()

    def report(loop: TrainingLoop, mean_loss: float) -> None:
        views = loop.step * settings.batch * rank.count
        rate = views / loop.seconds
        print(
            f"{loop.seconds:.0f} s, step {loop.step}, {views} views, loss {mean_loss:.4f}, "
            f"{rate:.0f} images/s",
            flush=True,
        )
        if loop.seconds > snapshots[-1] + 60 * settings.snapshot_minutes or loop.share_done >= 1:
            save_pipeline(loop, settings, tokenizer, scheduler)
            snapshots.append(loop.seconds)

    TrainingLoop(denoiser, settings.loop, rank).run(loss, report)


def save_pipeline(
    loop: TrainingLoop,
    settings: UnetSettings,
    tokenizer: CLIPTokenizer,
    scheduler: DDIMScheduler,
) -> None:
    """Write the averaged weights as a Stable Diffusion pipeline in half precision."""
    vae = AutoencoderKL.from_pretrained(settings.vae)
    latent_size = vae.config.sample_size // 2 ** (len(vae.config.block_out_channels) - 1)
    averaged = build_denoiser(tokenizer, vae.config.latent_channels, latent_size, settings)
    averaged.load_state_dict(loop.average)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=averaged.text_encoder,
        tokenizer=tokenizer,
        unet=averaged.unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    for part in (vae, averaged.text_encoder, averaged.unet):
        part.half()
    folder = settings.loop.folder / "pipeline"
    pipeline.save_pretrained(folder)
    _load_text_encoder_as_float32(folder / "text_encoder" / "config.json")


def _load_text_encoder_as_float32(path: Path) -> None:
    """Transformers loads the type named in the config; diffusers loads its parts as float32."""
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "dtype": "float32"}, indent=2, sort_keys=True) + "\n")


def main(words: Sequence[str] | None = None) -> None:
    """Train the denoiser from the command line, or from the words of one."""
    parser = stage_parser(__doc__, learning_rate=1.5e-3, average_decay=0.9985)
    add_images(parser)
    add_vae(parser)
    add_network(parser, channels=[64, 128], batch=32)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--min-snr", type=float, default=5.0)
    parser.add_argument("--snapshot-minutes", type=float, default=8.0)
    parser.add_argument("--compiled", action="store_true", help="by inductor: half as fast again")
    run_stage(train_unet, UnetSettings, parser, words)


if __name__ == "__main__":
    main()
