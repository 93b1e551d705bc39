"""Training state on disk: tensors as safetensors, the rest as JSON; no pickle anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

Tensors = dict[str, Tensor]
CHECKPOINT = "checkpoint.safetensors"


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    average: Tensors,
    optimizer: torch.optim.Optimizer,
    progress: dict[str, float],
) -> None:
    """Write model, averaged weights, optimizer moments and progress; replaces the old in one move."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    tensors |= _moments(optimizer)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "checkpoint.partial"
    metadata = {"progress": json.dumps(progress)}
    save_file(
        {name: t.detach().cpu().contiguous() for name, t in tensors.items()}, partial, metadata
    )
    partial.replace(folder / CHECKPOINT)


def load_checkpoint(
    folder: Path, model: nn.Module, average: Tensors, optimizer: torch.optim.Optimizer
) -> dict[str, float]:
    """Put a saved state back in place; gives its progress, empty if there is none."""
    if not (progress := read_progress(folder)):
        return {}
    tensors = load_file(folder / CHECKPOINT)
    model.load_state_dict(_under("model.", tensors))
    for name, value in _under("average.", tensors).items():
        average[name].copy_(value)
    _restore_moments(optimizer, _under("optimizer.", tensors))
    return progress


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _moments(optimizer: torch.optim.Optimizer) -> Tensors:
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{number}.{name}": torch.as_tensor(value)
        for number, moments in state.items()
        for name, value in moments.items()
    }


def _restore_moments(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    state: dict[int, Tensors] = {}
    for name, value in tensors.items():
        number, moment = name.split(".", 1)
        state.setdefault(int(number), {})[moment] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def read_progress(folder: Path) -> dict[str, float]:
    """Steps and seconds that a saved state has behind it; empty if there is none."""
    from safetensors import safe_open

    if not (folder / CHECKPOINT).exists():
        return {}
    with safe_open(folder / CHECKPOINT, framework="pt") as file:
        progress: dict[str, float] = json.loads(file.metadata()["progress"])
    return progress
