"""Encoded latents on disk, so that a run that goes on need not encode again."""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fedshow.files import write_atomically
from fedshow_client.tuning.data.folder import Candidate, fingerprint
from fedshow_client.tuning.data.latents import Bucket, LatentSet

if TYPE_CHECKING:
    from fedshow.families import Base
    from fedshow_client.tuning.recipe import Recipe

FILE_NAME = "latents.safetensors"
FORMAT = 1
PARTS = ("mean", "std", "subject", "valid", "masked")
log = logging.getLogger(__name__)


def kept(
    work: Path | None,
    base: "Base",
    images: Sequence[Candidate],
    recipe: "Recipe",
    seed: int,
    device: torch.device,
    make: Callable[[], LatentSet],
) -> LatentSet:
    """The latents kept in `work` when they are whole and of this very run, else made and kept."""
    if work is None:
        return make()
    path, key = work / FILE_NAME, _key(base, images, recipe, seed, device)
    found = _read(path, key, device)
    if found is None:
        found = make()
        _write(path, key, found)
    return found


def _key(
    base: "Base",
    images: Sequence[Candidate],
    recipe: "Recipe",
    seed: int,
    device: torch.device,
) -> str:
    """Digest of everything that decides the latents."""
    settings = [recipe.variants, recipe.aspect, recipe.zoom, recipe.zoom_out, recipe.flip]
    model = [base.card.sha256, device.type, str(base.vae.dtype)]
    facts = [FORMAT, model, settings, seed, fingerprint(images)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _write(path: Path, key: str, latents: LatentSet) -> None:
    from safetensors.torch import save

    tensors = {
        f"{number}.{part}": getattr(bucket, part).cpu().contiguous()
        for number, bucket in enumerate(latents.buckets)
        for part in PARTS
    }
    images = json.dumps([bucket.images for bucket in latents.buckets])
    metadata = {"key": key, "images": images, "sha256": _digest(tensors)}
    write_atomically(path, save(tensors, metadata=metadata))


def _read(path: Path, key: str, device: torch.device) -> LatentSet | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("key") != key:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    if metadata["sha256"] != _digest(tensors):
        log.warning("%s is damaged: encoding the images again", path)
        return None
    return LatentSet(
        [
            Bucket(tuple(images), *(tensors[f"{number}.{part}"] for part in PARTS)).to(device)
            for number, images in enumerate(json.loads(metadata["images"]))
        ]
    )


def _digest(tensors: dict[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].numpy().tobytes())
    return found.hexdigest()
