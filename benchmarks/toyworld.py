"""How good the embedded base model is: `make bench-toyworld`.

Draws held-out compositions (kind, colour and place never trained together), reads
the pictures with the measuring encoder, and compares with what the captions ask for.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from PIL import Image

from benchmarks.report import IMAGES, print_table, write_result
from fedshow.toyworld import WEIGHTS
from fedshow.toyworld.captions import full_caption
from fedshow.toyworld.encoder import ToyworldEncoder, load_encoder
from fedshow.toyworld.heldout import training_character, training_scene
from fedshow.toyworld.scenes import draw
from fedshow.toyworld.training.datasets import Images
from fedshow.toyworld.training.vae import psnr
from fedshow.toyworld.world import PLACES, Character, Scene, heldout_pair, heldout_singles

GATES = {
    "place": 0.95,
    "kind": 0.90,
    "colour": 0.90,
    "both_present": 0.70,
    "vae_psnr": 27.0,
}
FRESH = (1000, 512)
"""Fresh pictures of the world: to fit the linear code, and to try it and the autoencoder on."""

_PARTS = 5  # the spread is taken over this many equal parts of the captions


@dataclass(frozen=True)
class Asked:
    """A caption and the scene that it describes in full."""

    caption: str
    scene: Scene


def heldout_single_captions(count: int, rng: random.Random) -> list[Asked]:
    """Captions of one character, evenly over all held-out compositions."""
    compositions = heldout_singles()
    asked = []
    for number in range(count):
        kind, colour, place = compositions[number % len(compositions)]
        scene = Scene(place, (Character(kind, colour),))
        asked.append(Asked(full_caption(scene, rng), scene))
    return asked


def pair_captions(count: int, rng: random.Random, heldout: bool = False) -> list[Asked]:
    """Captions of two different characters; with `heldout`, only pairs that training left out."""
    asked: list[Asked] = []
    while len(asked) < count:
        left, right = (_bare(training_character(rng)) for _ in range(2))
        if left != right and (heldout_pair(left, right) or not heldout):
            scene = Scene(rng.choice(PLACES), (left, right))
            asked.append(Asked(full_caption(scene, rng), scene))
    return asked


def _bare(character: Character) -> Character:
    return Character(character.kind, character.colour)


def generate(
    pipeline: StableDiffusionPipeline,
    asked: Sequence[Asked],
    steps: int,
    guidance: float,
    seed: int = 0,
) -> list[Image.Image]:
    """One picture for each caption."""
    images: list[Image.Image] = []
    for start in range(0, len(asked), 25):
        part = asked[start : start + 25]
        generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        result = pipeline(
            [one.caption for one in part],
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generators,
        )
        images += result.images
    return images


def read_singles(
    encoder: ToyworldEncoder, images: Sequence[Image.Image], asked: Sequence[Asked]
) -> dict[str, list[bool]]:
    """For each picture whether place, kind and colour are as the caption says."""
    read = encoder.attributes(images)
    wanted = {
        "place": [one.scene.place for one in asked],
        "kind": [one.scene.characters[0].kind for one in asked],
        "colour": [one.scene.characters[0].colour for one in asked],
    }
    return {
        name: [a == b for a, b in zip(read[name].labels, labels, strict=True)]
        for name, labels in wanted.items()
    }


def read_pairs(
    encoder: ToyworldEncoder, images: Sequence[Image.Image], asked: Sequence[Asked]
) -> list[bool]:
    """For each picture whether each half shows its character: kind, colour, and real."""
    right = [True] * len(images)
    for side in (0, 1):
        halves = [_half(image, side) for image in images]
        read, realness = encoder.attributes(halves), encoder.realness(halves)
        for i, one in enumerate(asked):
            character = one.scene.characters[side]
            found = read["kind"].labels[i], read["colour"].labels[i]
            is_there = found == (character.kind, character.colour) and float(realness[i]) > 0.5
            right[i] = right[i] and is_there
    return right


def _half(image: Image.Image, side: int) -> Image.Image:
    middle = image.width // 2
    return image.crop((side * middle, 0, side * middle + middle, image.height))


def drawn(asked: Sequence[Asked], seed: int, size: int = 32) -> list[Image.Image]:
    """The same scenes drawn by the world itself: what the encoder can reach at best."""
    rng = random.Random(seed)
    return [draw(one.scene, rng, size).image for one in asked]


def heldout_images(count: int, seed: int, size: int = 32) -> Images:
    """Pictures of fresh scenes."""
    rng = random.Random(f"held-out pictures/{seed}")
    return np.stack([draw(training_scene(rng), rng, size).array() for _ in range(count)])


def pca_floor(fit: Images, test: Images, side: int, channels: int) -> float:
    """The PSNR in dB of the best linear code of the same size: PCA of patches."""

    def patches(images: Images) -> npt.NDArray[np.float64]:
        number, size = images.shape[:2]
        grid = images.reshape(number, size // side, side, size // side, side, 3)
        return grid.transpose(0, 1, 3, 2, 4, 5).reshape(-1, side * side * 3) / 255.0

    mean = patches(fit).mean(0)
    basis = np.linalg.eigh(np.cov((patches(fit) - mean).T))[1][:, -channels:]
    centred = patches(test) - mean
    error = ((centred @ basis @ basis.T - centred) ** 2).reshape(len(test), -1).mean(1)
    return float((-10 * np.log10(error)).mean())


def grid(images: Sequence[Image.Image], columns: int, scale: int = 8) -> Image.Image:
    """The pictures side by side, enlarged pixel by pixel."""
    side = images[0].width + 1
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * side - 1, rows * side - 1), "white")
    for number, image in enumerate(images):
        sheet.paste(image, (number % columns * side, number // columns * side))
    return sheet.resize((sheet.width * scale, sheet.height * scale), Image.Resampling.NEAREST)


def _share(right: Sequence[bool]) -> float:
    return sum(right) / len(right)


def _spread(right: Sequence[bool]) -> float:
    return statistics.stdev(_share(right[start::_PARTS]) for start in range(_PARTS))


def measure(
    weights: Path,
    steps: int,
    guidance: float,
    singles: int,
    pairs: int,
    *,
    device: str = "cpu",
    sheet: Path = IMAGES / "toyworld.png",
    fresh: tuple[int, int] = FRESH,
) -> dict[str, object]:
    """All figures; also saves the sample grid, by default that of the documentation.

    Pictures are drawn on the device and read on the processor; so many `fresh` ones try the autoencoder.
    """
    rng = random.Random(20)
    pipeline = StableDiffusionPipeline.from_pretrained(weights, dtype=torch.float32).to(device)
    pipeline.set_progress_bar_config(disable=True)
    encoder, size = load_encoder(), pipeline.vae.config.sample_size
    asked = {
        "single": heldout_single_captions(singles, rng),
        "both_present": pair_captions(pairs, rng),
        "both_present_heldout": pair_captions(pairs, rng, heldout=True),
    }
    images = {name: generate(pipeline, part, steps, guidance) for name, part in asked.items()}
    right = read_all(encoder, images, asked)
    ceiling = read_all(encoder, {name: drawn(part, 1, size) for name, part in asked.items()}, asked)
    sheet.parent.mkdir(parents=True, exist_ok=True)
    shown = [*images["single"][:40:2], *images["both_present"][:12]]
    grid(shown, columns=8, scale=256 // size).save(sheet, optimize=True)
    return {
        **{name: _share(values) for name, values in right.items()},
        **measure_vae(pipeline.vae, fresh),
        "megabytes": sum(f.stat().st_size for f in weights.rglob("*") if f.is_file()) / 1e6,
        "real": float((encoder.realness(images["single"]) > 0.5).float().mean()),
        "encoder_ceiling": {name: _share(values) for name, values in ceiling.items()},
        "spread": {name: _spread(values) for name, values in right.items()},
        "sampling": {"steps": steps, "guidance": guidance, "singles": singles, "pairs": pairs},
        "raw": {name: [int(value) for value in values] for name, values in right.items()},
    }


def read_all(
    encoder: ToyworldEncoder,
    images: dict[str, list[Image.Image]],
    asked: dict[str, list[Asked]],
) -> dict[str, list[bool]]:
    """What `read_singles` and `read_pairs` find, by figure."""
    right = read_singles(encoder, images["single"], asked["single"])
    for name in ("both_present", "both_present_heldout"):
        right[name] = read_pairs(encoder, images[name], asked[name])
    return right


def measure_vae(vae: AutoencoderKL, fresh: tuple[int, int] = FRESH) -> dict[str, float]:
    """PSNR on the second lot of fresh pictures, and that of the linear code of the same size."""
    images = heldout_images(sum(fresh), seed=7, size=vae.config.sample_size)
    fit, test = images[: fresh[0]], images[fresh[0] :]
    side = 2 ** (len(vae.config.block_out_channels) - 1)
    floor = pca_floor(fit, test, side, vae.config.latent_channels)
    return {"vae_psnr": psnr(vae, test), "vae_pca_floor": floor}


def main() -> None:
    """Measure, print a table and write `benchmarks/results/toyworld.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--singles", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=100)
    args = parser.parse_args()
    figures = measure(args.weights, args.steps, args.guidance, args.singles, args.pairs)
    print_table(figures, GATES)
    write_result("toyworld", figures)


if __name__ == "__main__":
    main()
