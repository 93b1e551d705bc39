"""Toyworld trained on the card by the very scripts that trained it on two cores: larger pictures, more views.

Killed at any time, it goes on from the last checkpoint when it is started again: everything lies in one
folder, and stages that are done are not done again.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import toyworld as gates
from benchmarks.timing import seconds
from fedshow.toyworld import WEIGHTS
from fedshow.toyworld.encoder import load_encoder
from fedshow.toyworld.training import encoder, unet, vae
from fedshow.toyworld.training.checkpoints import read_progress
from fedshow.toyworld.training.datasets import draw_dataset
from fedshow.toyworld.training.publish import SUMS, publish

Figures = dict[str, Any]
NAMES = (
    "place",
    "kind",
    "colour",
    "both_present",
    "both_present_heldout",
    "vae_psnr",
    "vae_pca_floor",
)
"""What is measured of the trained weights; the gates are those of `make bench-toyworld`."""


@dataclass(frozen=True)
class Plan:
    """How large everything is; what stages are told as on their command lines."""

    size: int
    wide: int
    validation: int
    train: int
    batch: int
    steps: int
    vae: str
    unet: str
    encoder: str
    pictures: tuple[int, int]
    fresh: tuple[int, int]
    sampling_steps: int

    @property
    def views(self) -> int:
        """Pictures that the denoiser sees, each as often as it is drawn by lot."""
        return self.batch * self.steps


FULL = Plan(
    size=64,
    wide=32_000,
    validation=512,
    train=96_000,
    batch=1024,
    steps=9_800,
    # Eight times smaller latents, as Stable Diffusion's: the denoiser costs what it does at 32 pixels.
    vae="--size 64 --channels 32 64 128 128 --latent-channels 16 --batch 192"
    " --steps 3000 --deadline-minutes 3",
    unet="--channels 64 112 --hidden 112 --snapshot-minutes 2 --seed 1",
    encoder="--families 16000 --crowds 2000 --steps 1400 --warmup-steps 100 --seed 1",
    pictures=(200, 100),
    fresh=gates.FRESH,
    sampling_steps=25,
)
TINY = Plan(
    size=16,
    wide=16,
    validation=8,
    train=16,
    batch=2,
    steps=2,
    vae="--size 16 --channels 8 8 --latent-channels 2 --batch 2 --steps 2",
    unet="--channels 16 16 --hidden 16",
    encoder="--families 8 --crowds 4 --batch-families 8 --batch-crowds 2 --steps 1",
    pictures=(5, 5),
    fresh=(24, 8),
    sampling_steps=2,
)


def measure(device: str, tiny: bool, files: Path) -> Iterator[Figures]:
    """`toyworld_…`: seconds of each stage, views, what the weights reach; weights and grid in `files`."""
    yield from _Training(TINY if tiny else FULL, device, files).figures()


@dataclass(frozen=True)
class _Training:
    """All stages in one folder: pictures in `data`, each stage's checkpoint below its name."""

    plan: Plan
    device: str
    folder: Path

    def figures(self) -> Iterator[Figures]:
        """Stage after stage; of stages that were done before, what they took then."""
        yield {"toyworld_data_seconds": self._drawn()}
        if not (self._vae / "diffusion_pytorch_model.safetensors").is_file():
            vae.main(
                [
                    *self._shared("vae"),
                    *self._pictures("wide"),
                    *self._trial,
                    *self.plan.vae.split(),
                ]
            )
        yield {"toyworld_vae_seconds": read_progress(self.folder / "vae")["seconds"]}
        if not (self.weights / SUMS).is_file():
            unet.main([*self._shared("unet"), *self._pictures("train"), *self._denoising])
            publish(self.folder / "unet" / "pipeline", None, {}, self.weights)
        yield self._views()
        yield self._gates()
        trained = self.folder / "encoder" / "model.safetensors"
        if not trained.is_file():
            encoder.main(
                [*self._shared("encoder"), *self._measured_vae, *self.plan.encoder.split()]
            )
        publish(None, trained, {}, self.weights)
        yield self._encoder(trained)

    @property
    def weights(self) -> Path:
        """What is published, a base like the one that ships."""
        return self.folder / "weights"

    def _drawn(self) -> float:
        """Seconds that drawing took the first time."""
        took, told = seconds(self._draw), self.folder / "data" / "seconds.json"
        if not told.is_file():
            told.write_text(json.dumps(took))
        return float(json.loads(told.read_text()))

    def _draw(self) -> None:
        """The pictures, unless they are there; by all cores."""
        lots = (
            ("wide", "wide", self.plan.wide, 2),
            ("validation", "wide", self.plan.validation, 3),
            ("train", "training", self.plan.train, 1),
        )
        for name, sampler, count, seed in lots:
            folder, cores = self.folder / "data" / name, os.cpu_count() or 1
            draw_dataset(folder, sampler, count, self.plan.size, seed, min(cores, count))

    def _shared(self, stage: str) -> list[str]:
        """One process trains, and loses at most 15 seconds when it is killed."""
        words = f"--device {self.device} --processes 1 --checkpoint-minutes 0.25".split()
        return ["--folder", str(self.folder / stage), *words]

    def _pictures(self, name: str) -> list[str]:
        return ["--images", str(self.folder / "data" / name)]

    @property
    def _vae(self) -> Path:
        """Written when the autoencoder is done."""
        return self.folder / "vae" / "vae"

    @property
    def _trial(self) -> list[str]:
        return ["--validation", str(self.folder / "data" / "validation")]

    @property
    def _denoising(self) -> list[str]:
        sizes = f"--batch {self.plan.batch} --steps {self.plan.steps}".split()
        return ["--vae", str(self._vae), *sizes, *self.plan.unet.split()]

    @property
    def _measured_vae(self) -> list[str]:
        """The shipped one: the encoder reads 32 pixels, whatever size pictures have."""
        return ["--vae", str(WEIGHTS / "vae")]

    def _views(self) -> Figures:
        took = read_progress(self.folder / "unet")["seconds"]
        return {
            "toyworld_unet_seconds": took,
            "toyworld_views": self.plan.views,
            "toyworld_views_per_second": self.plan.views / took,
        }

    def _gates(self) -> Figures:
        """Of the published weights, read by the shipped encoder: the one trained here is not yet proven."""
        singles, pairs = self.plan.pictures
        found = gates.measure(
            self.weights,
            self.plan.sampling_steps,
            3.0,
            singles,
            pairs,
            device=self.device,
            sheet=self.folder / "grid.png",
            fresh=self.plan.fresh,
        )
        return {f"toyworld_{name}": found[name] for name in NAMES}

    def _encoder(self, trained: Path) -> Figures:
        trial = encoder.heldout_trial(WEIGHTS / "vae", views=min(8, self.plan.sampling_steps))
        return {
            "toyworld_encoder_seconds": read_progress(self.folder / "encoder")["seconds"],
            "toyworld_encoder_top1": trial.top1(load_encoder(trained)),
        }
