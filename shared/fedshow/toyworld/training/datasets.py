"""Drawn data sets on disk: images as one array, outlines and captions beside them."""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedshow.toyworld.captions import caption
from fedshow.toyworld.heldout import training_scene
from fedshow.toyworld.scenes import draw
from fedshow.toyworld.world import PLACES, Scene, wide_character

Images = npt.NDArray[np.uint8]
"""N × height × width, × 3 unless they are outlines."""

CHUNK = 2000
CAPTIONS_PER_IMAGE = 4


def wide_scene(rng: random.Random) -> Scene:
    """A scene for the autoencoder: two in five hold characters outside the vocabulary."""
    scene = training_scene(rng)
    if rng.random() < 0.6:
        return scene
    return Scene(rng.choice(PLACES), tuple(wide_character(rng) for _ in scene.characters))


SAMPLERS: dict[str, Callable[[random.Random], Scene]] = {
    "training": training_scene,
    "wide": wide_scene,
}


def draw_chunk(
    sampler: str, seed: int, count: int, size: int
) -> tuple[Images, Images, list[list[str]]]:
    """`count` images, their outlines and the captions of each, fixed by sampler, seed and size."""
    rng = random.Random(f"{sampler}/{seed}")
    images = np.empty((count, size, size, 3), np.uint8)
    outlines = np.empty((count, size, size), np.uint8)
    captions: list[list[str]] = []
    for image, outline in zip(images, outlines, strict=True):
        scene = SAMPLERS[sampler](rng)
        picture = draw(scene, rng, size)
        image[:], outline[:] = picture.array(), np.asarray(picture.outline)
        captions.append([caption(scene, rng) for _ in range(CAPTIONS_PER_IMAGE)])
    return images, outlines, captions


def draw_dataset(
    folder: Path, sampler: str, count: int, size: int, seed: int, processes: int
) -> None:
    """Write `images.npy`, `outlines.npy` and `captions.json`, unless they are there already."""
    if (folder / "captions.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    counts = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    seeds = [seed * 100_000 + number for number in range(len(counts))]
    rows = len(counts)
    with ProcessPoolExecutor(processes) as pool:
        chunks = list(pool.map(draw_chunk, [sampler] * rows, seeds, counts, [size] * rows))
    np.save(folder / "images.npy", np.concatenate([images for images, _, _ in chunks]))
    np.save(folder / "outlines.npy", np.concatenate([outlines for _, outlines, _ in chunks]))
    text = json.dumps([c for _, _, captions in chunks for c in captions])
    (folder / "captions.json").write_text(text)


def load_images(folder: Path) -> Images:
    """The images of a data set, mapped from disk."""
    return _load(folder / "images.npy")


def load_outlines(folder: Path) -> Images:
    """The outlines of the images, mapped from disk."""
    return _load(folder / "outlines.npy")


def _load(path: Path) -> Images:
    array: Images = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def load_captions(folder: Path) -> list[list[str]]:
    """The captions of each image."""
    captions: list[list[str]] = json.loads((folder / "captions.json").read_text())
    return captions


def main() -> None:
    """Draw one data set from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sampler", choices=sorted(SAMPLERS), default="training")
    parser.add_argument("--count", type=int, default=120_000)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    draw_dataset(args.folder, args.sampler, args.count, args.size, args.seed, args.processes)


if __name__ == "__main__":
    main()
