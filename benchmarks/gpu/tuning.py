"""Tuning at SD 1.5's size: steps, memory and matrix rate, 512 pixels, batch 4."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.private_folder import candidates
from benchmarks.timing import median_seconds
from benchmarks.tuning.loops import Step, our_trainer, plain_loop
from benchmarks.tuning.pace import race
from benchmarks.tuning.sd15 import FULL, TINY, hosted, photos, sd15
from fedshow_client.tuning.attention import attending
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.trainer import Trainer

MATRIX_EDGE = {"cuda": 8192, "cpu": 256}


def trainer(folder: Path, device: str, tiny: bool) -> Trainer:
    """Ours: laid out as `fedshow tune` does, latents cached before, adapters in float32."""
    sizes = TINY if tiny else FULL
    someone, base = photos(folder, sizes["picture_edge"]), hosted(sd15(device, sizes))
    images = candidates(someone, captions=False)
    return our_trainer(base, someone, images, Recipe(), device=device)


def ours(folder: Path, device: str, tiny: bool) -> Step:
    """Our step at SD 1.5's size."""
    return trainer(folder, device, tiny).step


def plain(folder: Path, device: str, tiny: bool) -> Step:
    """The plain loop's step at SD 1.5's size: on a card in mixed precision, as the paper's code runs."""
    sizes = TINY if tiny else FULL
    someone, base = photos(folder, sizes["picture_edge"]), sd15(device, sizes)
    return plain_loop(base, someone, candidates(someone, captions=False), Recipe()).step


def measure(device: str, tiny: bool) -> Iterator[dict[str, Any]]:
    """Figures `tune_ratio`, `tune_peak_gigabytes` and `tune_rate_share`, with what they come from."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        photos(folder, (TINY if tiny else FULL)["picture_edge"])
        pairs, block = (2, 2) if tiny else (10, 10)
        makers = (partial(ours, folder, device, tiny), partial(plain, folder, device, tiny))
        found = race(*makers, threads=1, pairs=pairs, block=block)
        yield {
            "tune_ratio": found["ratio"],
            "tune_peak_gigabytes": found["peak_megabytes"]["ours"] / 1024,
            "tune_plain_peak_gigabytes": found["peak_megabytes"]["plain"] / 1024,
            "tune_race": found,
        }
        rate = matrix_rate(device)
        denoiser = denoiser_rate(trainer(folder, device, tiny), 1 if tiny else 10)
        yield {
            "tune_rate_share": denoiser / rate,
            "tune_teraflops": denoiser / 1e12,
            "matrix_teraflops": rate / 1e12,
        }


def matrix_rate(device: str) -> float:
    """Floating point operations a second of a large bfloat16 matrix product: what the card can do."""
    edge = MATRIX_EDGE[device]
    left, right = (torch.randn(edge, edge, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * edge**3 / median_seconds(lambda: left @ right, 20)


def denoiser_rate(tuned: Trainer, repeats: int) -> float:
    """Operations a second of the U-Net, forward and backward, as a step runs it."""
    with _denoising(tuned) as once:
        with FlopCounterMode(display=False) as counter:
            once()
        return float(counter.get_total_flops()) / median_seconds(once, repeats)


@contextmanager
def _denoising(tuned: Trainer) -> Iterator[Callable[[], None]]:
    """One pass through the denoiser and back to its adapters and its text features."""
    base, batch = tuned.base, tuned.recipe.batch
    config, edge = base.pipeline.unet.config, base.pipeline.unet.config.sample_size
    noisy = torch.randn(batch, config.in_channels, edge, edge, device=base.device)
    times = torch.arange(batch, device=base.device) * 100
    shape = (batch, base.pipeline.tokenizer.model_max_length, config.cross_attention_dim)
    features = [
        torch.randn(shape, device=base.device, dtype=tuned.precision, requires_grad=True)
        for _ in range(base.card.slots)
    ]
    cross = [layer for layer, _ in tuned.model.cross_attention]
    with attending(tuned.model.self_attention, cross, capture=True) as maps:

        def once() -> None:
            maps.clear()
            inputs: Tensor = noisy.to(tuned.precision)
            said = base.pipeline.unet(inputs, times, tuple(features)).sample
            (said.float().square().mean() + sum(found.mean() for found in maps)).backward()

        yield once
