"""Train the autoencoder of the toy world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from fedshow.toyworld.training.datasets import Images, load_images
from fedshow.toyworld.training.loop import LoopSettings, TrainingLoop
from fedshow.toyworld.training.options import add_images, add_network, run_stage, stage_parser
from fedshow.toyworld.training.parallel import Rank
from fedshow.toyworld.training.transfers import normal, there

CPU = torch.device("cpu")


@dataclass(frozen=True)
class VaeSettings:
    """The shape of the autoencoder, its data and its loss."""

    loop: LoopSettings
    images: Path
    validation: Path
    size: int
    channels: tuple[int, ...]
    latent_channels: int
    batch: int
    noise: float
    latent_penalty: float
    squared_weight: float


def build_vae(size: int, channels: tuple[int, ...], latent_channels: int) -> AutoencoderKL:
    """An untrained autoencoder; each level but the last halves the picture."""
    levels = len(channels)
    return AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=8,
        sample_size=size,
        mid_block_add_attention=False,
    )


def to_pixels(images: Images, device: torch.device = CPU) -> Tensor:
    """Bytes N × H × W × 3 as floats N × 3 × H × W from -1 to 1 on the device, where they travel as bytes."""
    pixels = there(torch.from_numpy(images.copy()), device).permute(0, 3, 1, 2)
    return pixels.contiguous(memory_format=torch.channels_last).float() / 127.5 - 1


@torch.no_grad()
def psnr(vae: AutoencoderKL, images: Images) -> float:
    """Mean peak signal-to-noise ratio of the reconstructions, in dB, of 8-bit pictures."""
    values: list[Tensor] = []
    device = next(vae.parameters()).device
    for start in range(0, len(images), 64):
        pixels = to_pixels(images[start : start + 64], device)
        decoded = vae.decode(vae.encode(pixels).latent_dist.mean).sample
        rounded = decoded.clamp(-1, 1).add(1).mul(127.5).round() / 127.5 - 1
        values.append((rounded - pixels).div(2).square().mean(dim=(1, 2, 3)))
    return float((-10 * torch.cat(values).log10()).mean())


@torch.no_grad()
def standardise_latents(vae: AutoencoderKL, images: Images, noise: float) -> None:
    """Fold a shift and scale of each latent channel into the 1 × 1 convolutions.

    Afterwards every latent channel has mean 0 and deviation 1, the posterior has
    the fixed deviation that the noise of training had, and no picture is changed.
    """
    device = next(vae.parameters()).device
    pixels = (to_pixels(images[i : i + 64], device) for i in range(0, len(images), 64))
    latents = torch.cat([vae.encode(p).latent_dist.mean for p in pixels])
    mean, deviation = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    channels = len(mean)
    inward, outward = vae.quant_conv, vae.post_quant_conv
    outward.bias += outward.weight[:, :, 0, 0] @ mean
    outward.weight *= deviation[None, :, None, None]
    inward.bias[:channels] = (inward.bias[:channels] - mean) / deviation
    inward.weight[:channels] /= deviation[:, None, None, None]
    inward.weight[channels:] = 0
    inward.bias[channels:] = 2 * torch.log(noise / deviation)
    vae.register_to_config(scaling_factor=1.0)


def train_vae(settings: VaeSettings, rank: Rank) -> None:
    """Train to the end and write the finished autoencoder to `folder/vae`."""
    torch.manual_seed(settings.loop.seed)
    device = torch.device(settings.loop.device)
    vae = build_vae(settings.size, settings.channels, settings.latent_channels)
    vae.to(device, memory_format=torch.channels_last)
    images, validation = load_images(settings.images), load_images(settings.validation)

    def loss(generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(images), (settings.batch,), generator=generator)
        pixels = to_pixels(images[rows.sort().values.numpy()], device)
        latents = vae.encode(pixels).latent_dist.mean
        error = vae.decode(latents + settings.noise * normal(latents, generator)).sample - pixels
        total: Tensor = error.abs().mean() + settings.squared_weight * error.square().mean()
        total += settings.latent_penalty * latents.square().mean()
        return total

    def report(loop: TrainingLoop, mean_loss: float) -> None:
        line = f"{loop.seconds:.0f} s, step {loop.step}, loss {mean_loss:.4f}"
        if loop.step % 500 == 0 or loop.share_done >= 1:
            line += f", validation {psnr(vae, validation):.2f} dB"
        rate = loop.step * settings.batch * rank.count / loop.seconds
        print(f"{line}, {rate:.0f} images/s", flush=True)

    loop = TrainingLoop(vae, settings.loop, rank)
    loop.run(loss, report)
    if rank.first:
        _finish(vae, loop, settings, images, validation)


def _finish(
    vae: AutoencoderKL,
    loop: TrainingLoop,
    settings: VaeSettings,
    images: Images,
    validation: Images,
) -> None:
    plain = psnr(vae, validation)
    trained = {name: value.clone() for name, value in vae.state_dict().items()}
    vae.load_state_dict(loop.average)
    averaged = psnr(vae, validation)
    if plain > averaged:
        vae.load_state_dict(trained)
    standardise_latents(vae, images[:4096], settings.noise)
    print(
        f"weights {plain:.2f} dB, averaged {averaged:.2f}, standardised {psnr(vae, validation):.2f}"
    )
    vae.save_pretrained(settings.loop.folder / "vae")


def main(words: Sequence[str] | None = None) -> None:
    """Train the autoencoder from the command line, or from the words of one."""
    parser = stage_parser(__doc__, learning_rate=2e-3, average_decay=0.998)
    add_images(parser)
    add_network(parser, channels=[16, 32, 64], batch=16)
    parser.add_argument("--validation", type=Path, required=True)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--latent-channels", type=int, default=8)
    parser.add_argument("--noise", type=float, default=0.06)
    parser.add_argument("--latent-penalty", type=float, default=1e-3)
    parser.add_argument("--squared-weight", type=float, default=3.0)
    run_stage(train_vae, VaeSettings, parser, words)


if __name__ == "__main__":
    main()
