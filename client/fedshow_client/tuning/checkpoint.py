"""Where a tuning run stands, on disk: one safetensors file, whole or absent."""

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from fedshow.errors import Damaged, FedshowError, InvalidInput
from fedshow.files import write_atomically
from fedshow_client.tuning.optimizing import JoinedAdamW

FILE_NAME = "checkpoint.safetensors"


@dataclass
class Progress:
    """What besides tensors must survive: the next step, losses so far, seconds spent."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class State:
    """All tensors of a run that the next step depends on."""

    parameters: Mapping[str, Tensor]
    optimizer: JoinedAdamW
    averages: Mapping[str, Tensor]

    def tensors(self) -> dict[str, Tensor]:
        """By kind and concept-file key: parameters, AdamW's moments and step counts, averages."""
        found = {f"parameter.{key}": value.detach() for key, value in self.parameters.items()}
        found |= {f"average.{key}": value for key, value in self.averages.items()}
        return found | self.optimizer.tensors()

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts saved tensors back."""
        own = self.tensors()
        for key, saved in tensors.items():
            own[key].copy_(saved)


def save_checkpoint(folder: Path, run: str, state: State, progress: Progress) -> None:
    """Writes the state and the progress; `run` identifies settings and images.

    Raises FedshowError when the disk is full; the checkpoint before is then still there.
    """
    from safetensors.torch import save

    tensors = {key: value.cpu().contiguous().clone() for key, value in state.tensors().items()}
    metadata = {"run": run, "progress": json.dumps(progress.__dict__)}
    content = save(tensors, metadata=metadata)
    try:
        write_atomically(folder / FILE_NAME, content)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise FedshowError(
            f"no space for a checkpoint of {len(content)} bytes in {folder} at step {progress.step}; "
            "the one before is good: make room and run again"
        ) from error


def load_checkpoint(folder: Path, run: str, state: State) -> Progress:
    """Puts a saved state back and returns its progress; a fresh one when there is none.

    Raises InvalidInput when the checkpoint belongs to other images or settings, Damaged when it is broken.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / FILE_NAME
    if not path.is_file():
        return Progress()
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            saved = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise Damaged(
            f"{path}: broken checkpoint ({error}); start over with --no-resume"
        ) from error
    if metadata["run"] != run:
        raise InvalidInput(
            f"{path}: checkpoint of other images or settings; "
            "start over with --no-resume or another --work folder"
        )
    state.restore(saved)
    return Progress(**json.loads(metadata["progress"]))
