"""Where a tuning run stands, on disk: one safetensors file, whole or absent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from fedshow.errors import InvalidInput
from fedshow.files import write_atomically

FILE_NAME = "checkpoint.safetensors"


@dataclass
class Progress:
    """What besides tensors must survive: the next step, losses so far, seconds spent."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0


def save_checkpoint(
    folder: Path,
    run: str,
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Writes parameters, AdamW moments and progress; `run` identifies settings and images."""
    from safetensors.torch import save

    tensors = {f"parameter.{key}": value.detach() for key, value in parameters.items()}
    for key, value in parameters.items():
        moments = optimizer.state.get(value, {})
        tensors |= {f"{name}.{key}": moment.clone() for name, moment in moments.items()}
    metadata = {"run": run, "progress": json.dumps(progress.__dict__)}
    content = save({k: v.cpu().contiguous() for k, v in tensors.items()}, metadata=metadata)
    write_atomically(folder / FILE_NAME, content)


def load_checkpoint(
    folder: Path, run: str, parameters: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
) -> Progress:
    """Puts a saved state back and returns its progress; a fresh one when there is none.

    Raises InvalidInput when the checkpoint belongs to other images or settings.
    """
    from safetensors import safe_open

    path = folder / FILE_NAME
    if not path.is_file():
        return Progress()
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        if metadata["run"] != run:
            raise InvalidInput(
                f"{path}: checkpoint of other images or settings; "
                "start over with --no-resume or another --work folder"
            )
        saved = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    for key, value in parameters.items():
        value.data.copy_(saved.pop(f"parameter.{key}"))
    for name_key, moment in saved.items():
        name, _, key = name_key.partition(".")
        device = "cpu" if name == "step" else parameters[key].device
        optimizer.state[parameters[key]][name] = moment.to(device)
    return Progress(**json.loads(metadata["progress"]))
