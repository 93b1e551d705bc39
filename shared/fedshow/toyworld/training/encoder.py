"""Train the measuring encoder of the toy world."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from fedshow.toyworld.encoder import LABELS, ToyworldEncoder
from fedshow.toyworld.heldout import HELDOUT
from fedshow.toyworld.training.identities import IGNORED, VIEWS, Bytes, save_families, view
from fedshow.toyworld.training.junk import blurred, spoil
from fedshow.toyworld.training.likeness import likeness_matrix
from fedshow.toyworld.training.loop import LoopSettings, TrainingLoop
from fedshow.toyworld.training.options import add_vae, run_stage, stage_parser
from fedshow.toyworld.training.parallel import Rank
from fedshow.toyworld.training.transfers import there
from fedshow.toyworld.training.vae import to_pixels

WRECKED = 4000


@dataclass(frozen=True)
class EncoderSettings:
    """The data and the loss of the encoder."""

    loop: LoopSettings
    vae: Path
    families: int
    crowds: int
    batch_families: int
    batch_crowds: int
    temperature: float


@dataclass
class Drawn:
    """Everything drawn for training.

    `decoded` are the images as the autoencoder gives them back, `wrecked` some of
    them from latents so disturbed that nobody is left in them.
    """

    images: Bytes
    decoded: Bytes
    wrecked: Bytes
    labels: Tensor
    traits: Tensor
    crowd_images: Bytes
    crowd_labels: Tensor


@torch.no_grad()
def through_vae(
    vae: AutoencoderKL, images: Bytes, disturbance: tuple[float, float], seed: int
) -> Bytes:
    """The images encoded, noise of some strength added to the latents, and decoded."""
    generator, (low, high) = torch.Generator().manual_seed(seed), disturbance
    decoded, device = np.empty_like(images), next(vae.parameters()).device
    for start in range(0, len(images), 128):
        pixels = to_pixels(images[start : start + 128], device)
        latents = vae.encode(pixels).latent_dist.mean
        share = torch.rand(len(latents), 1, 1, 1, generator=generator)
        strength = low + (high - low) * share
        noise = torch.randn(latents.shape, generator=generator)
        result = vae.decode(latents + (strength * noise).to(device)).sample.clamp(-1, 1)
        bytes_ = result.add(1).mul(127.5).round().byte().cpu()
        decoded[start : start + 128] = bytes_.permute(0, 2, 3, 1).numpy()
    return decoded


def load_drawn(settings: EncoderSettings, processes: int) -> Drawn:
    """Draw the training pictures, or take those drawn before."""
    folder = settings.loop.folder
    save_families(folder, settings.loop.seed, settings.families, settings.crowds, processes)
    families, crowds = np.load(folder / "families.npz"), np.load(folder / "crowds.npz")
    images: Bytes = families["images"]
    if not (folder / "decoded.npy").exists():
        vae = AutoencoderKL.from_pretrained(settings.vae).to(settings.loop.device)
        flat = images.reshape(-1, *images.shape[2:])
        np.save(folder / "wrecked.npy", through_vae(vae, flat[::VIEWS][:WRECKED], (1.1, 1.8), 1))
        np.save(folder / "decoded.npy", through_vae(vae, flat, (0.0, 0.35), 0))
    return Drawn(
        images=images,
        decoded=np.load(folder / "decoded.npy").reshape(images.shape),
        wrecked=np.load(folder / "wrecked.npy"),
        labels=torch.from_numpy(families["labels"]),
        traits=torch.from_numpy(families["traits"]),
        crowd_images=crowds["images"],
        crowd_labels=torch.from_numpy(crowds["labels"]),
    )


def augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """The pictures moved a little, some of them softened, made grainy, lighter or darker."""

    def lot(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(pixels), 1, 1, 1, generator=generator)

    scale, shift = lot(0.88, 1.12)[:, 0, 0, 0], torch.cat([lot(-0.12, 0.12) for _ in "xy"], 1)
    turn = torch.zeros(len(pixels), 2, 3)
    turn[:, 0, 0], turn[:, 1, 1], turn[:, :, 2] = scale, scale, shift[:, :, 0, 0]
    turn[:, 0, 0] *= torch.where(lot(0, 1)[:, 0, 0, 0] < 0.5, -1.0, 1.0)
    grid = F.affine_grid(turn, list(pixels.shape), align_corners=False)
    pixels = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    softness = torch.where(lot(0, 1) < 0.3, lot(0.2, 1.0), 0.0)
    pixels = torch.lerp(pixels, blurred(pixels, 0.9), softness)
    grain = torch.where(lot(0, 1) < 0.3, lot(0, 0.1), 0.0)
    pixels = pixels + grain * torch.randn(pixels.shape, generator=generator)
    return ((pixels + lot(-0.06, 0.06)) * lot(0.93, 1.07)).clamp(-1, 1)


def draw_batch(
    drawn: Drawn, settings: EncoderSettings, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels of families (member after member), crowds and junk; labels and traits of the first."""
    rows = torch.randint(len(drawn.images), (settings.batch_families,), generator=generator)
    decoded = torch.rand(len(rows), VIEWS, generator=generator) < 0.5
    index = rows.numpy()
    chosen = np.where(
        decoded.numpy()[:, :, None, None, None], drawn.decoded[index], drawn.images[index]
    )
    crowd = torch.randint(len(drawn.crowd_images), (settings.batch_crowds,), generator=generator)
    members = to_pixels(chosen.swapaxes(0, 1).reshape(-1, *chosen.shape[2:]))
    wrecked = drawn.wrecked[index[: len(rows) // 8] % len(drawn.wrecked)]
    junk = [spoil(to_pixels(chosen[: len(rows) // 2, 0]), generator), to_pixels(wrecked)]
    real = augment(torch.cat([members, to_pixels(drawn.crowd_images[crowd.numpy()])]), generator)
    labels = torch.cat(
        [drawn.labels[rows].transpose(0, 1).flatten(0, 1), drawn.crowd_labels[crowd]]
    )
    return torch.cat([real, *junk]), labels, drawn.traits[rows].transpose(0, 1).flatten(0, 1)


def identity_loss(identities: Tensor, traits: Tensor, temperature: float) -> Tensor:
    """How far cosines are from likenesses, plus InfoNCE between two views of one character.

    Rows beyond `traits` are junk, whose cosine with any character should be zero.
    """
    people, third = len(traits), len(traits) // VIEWS
    cosines = identities @ identities.T
    likeness = likeness_matrix(traits)
    alone = torch.eye(people, dtype=torch.bool, device=identities.device)
    # Alike pairs are rare and matter most.
    error = (cosines[:people, :people] - likeness).square() * (0.3 + likeness)
    views = cosines[:third, third:people] / temperature
    contrast = F.cross_entropy(views, torch.arange(third, device=views.device))
    # By a mask: picking those apart would wait for the card.
    apart = error.masked_fill(alone, 0).sum() / (people * (people - 1))
    return apart * 4 + 0.05 * contrast + cosines[people:, :people].square().mean()


def attribute_loss(encoder: ToyworldEncoder, features: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the attribute heads, where the label is known."""
    losses = [
        F.cross_entropy(encoder.attribute_heads[name](features), labels[:, i], ignore_index=IGNORED)
        for i, name in enumerate(LABELS)
    ]
    return torch.stack(losses).mean()


def train_encoder(settings: EncoderSettings, rank: Rank) -> None:
    """Train to the end and write the averaged weights to `folder/model.safetensors`."""
    torch.manual_seed(settings.loop.seed)
    encoder, device = ToyworldEncoder(), torch.device(settings.loop.device)
    encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    drawn, trial = load_drawn(settings, os.cpu_count() or 1), heldout_trial(settings.vae)

    def loss(generator: torch.Generator) -> Tensor:
        batch = draw_batch(drawn, settings, generator)
        pixels, labels, traits = (there(part, device) for part in batch)
        features = encoder(pixels.contiguous(memory_format=torch.channels_last))
        identities = F.normalize(encoder.identity_head(features), dim=-1)
        crowds = slice(len(traits), len(labels))
        real = (labels[:, -1] != 0).float()
        real = torch.cat([real, real.new_zeros(len(pixels) - len(labels))])
        realness = F.binary_cross_entropy_with_logits(encoder.realness_head(features)[:, 0], real)
        kept = torch.cat([identities[: crowds.start], identities[crowds.stop :]])
        seen = features[: len(labels)]
        return (
            identity_loss(kept, traits, settings.temperature)
            + 0.5 * attribute_loss(encoder, seen, labels)
            + 0.5 * realness
        )

    def report(loop: TrainingLoop, mean_loss: float) -> None:
        averaged = ToyworldEncoder()
        averaged.load_state_dict(loop.average)
        line = f"{loop.seconds:.0f} s, step {loop.step}, loss {mean_loss:.4f}"
        print(f"{line}, held out: {trial.top1(averaged):.3f} top-1", flush=True)

    loop = TrainingLoop(encoder, settings.loop, rank)
    loop.run(loss, report)
    if rank.first:
        weights = {name: t.half().cpu().contiguous() for name, t in loop.average.items()}
        save_file(weights, settings.loop.folder / "model.safetensors")


@dataclass
class HeldoutTrial:
    """Pictures of every held-out character, as drawn and as the autoencoder gives them back."""

    gallery: Tensor
    probes: Tensor
    owners: Tensor

    def top1(self, encoder: ToyworldEncoder) -> float:
        """How often a picture is nearest to the mean identity of its own character."""
        identities = encoder.identity(self.gallery)
        centres = identities.reshape(len(HELDOUT), -1, identities.shape[1]).mean(1)
        nearest = (encoder.identity(self.probes) @ F.normalize(centres, dim=-1).T).argmax(1)
        return float((nearest == self.owners).float().mean())


def heldout_trial(vae_folder: Path, views: int = 8) -> HeldoutTrial:
    """The trial, the same at each call."""
    rng = random.Random("heldout trial")
    arrays = [
        [np.asarray(view(character, rng)[0]) for _ in range(2 * views)]
        for character in HELDOUT.values()
    ]
    images = np.array(arrays, np.uint8)
    probes = images[:, views:].reshape(-1, *images.shape[2:])
    vae = AutoencoderKL.from_pretrained(vae_folder)
    probes = through_vae(vae, probes, (0.0, 0.2), seed=0)
    gallery = images[:, :views].reshape(-1, *images.shape[2:])
    return HeldoutTrial(
        gallery=torch.from_numpy(gallery).permute(0, 3, 1, 2),
        probes=torch.from_numpy(probes).permute(0, 3, 1, 2),
        owners=torch.arange(len(HELDOUT)).repeat_interleave(views),
    )


def main(words: Sequence[str] | None = None) -> None:
    """Train the encoder from the command line, or from the words of one."""
    parser = stage_parser(__doc__, learning_rate=1.5e-3, average_decay=0.995)
    add_vae(parser)
    parser.add_argument("--families", type=int, default=16_000)
    parser.add_argument("--crowds", type=int, default=4_000)
    parser.add_argument("--batch-families", type=int, default=48)
    parser.add_argument("--batch-crowds", type=int, default=16)
    parser.add_argument("--temperature", type=float, default=0.1)
    run_stage(train_encoder, EncoderSettings, parser, words)


if __name__ == "__main__":
    main()
