"""Opening a release folder to draw with it."""

import json
from pathlib import Path

import torch
from safetensors import safe_open

from fedshow.edlora.adapters import Adapters
from fedshow.errors import Damaged
from fedshow.families.opening import FAMILIES, Base, describe_pipeline, load_pipeline
from fedshow.releases.manifest import Manifest
from fedshow.sampling.model import Model

FUSED = "fused.safetensors"


def load_release(folder: Path, device: str = "cpu") -> Model:
    """The release's model with all its concepts; raises Damaged when the folder is incomplete."""
    manifest = Manifest.read(folder)
    family = FAMILIES[manifest.family]
    pipeline = load_pipeline(str(folder), device, torch.float32)
    card = describe_pipeline(manifest.base, family, pipeline)
    model = Model(Base(pipeline, family, card, str(folder)))
    try:
        with safe_open(folder / FUSED, "pt") as file:
            about = json.loads(file.metadata()["fedshow"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, KeyError, ValueError) as error:
        raise Damaged(f"{folder / FUSED}: {error}") from error
    for name, words in about["concepts"].items():
        model.tokens.add_concept(name, {word: tensors[f"tokens.{word}"] for word in words})
    model.merged_strength = 1.0
    model.add_adapters(Adapters.from_tensors(tensors, scale=1.0)).strength = 0.0
    return model
