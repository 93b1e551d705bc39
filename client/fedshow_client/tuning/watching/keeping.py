"""The weights of the best look, on disk until the run ends."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from fedshow.files import write_atomically


class Keeper:
    """One file of tensors for each look that is or was the best; older ones go away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, tensors: Mapping[str, Tensor], before: int | None) -> None:
        """Writes the weights of `step`; raises OSError.

        Those of `before` stay: a run killed before its next checkpoint continues with them.
        """
        from safetensors.torch import save

        for path in self.folder.glob("best-*.safetensors"):
            if path not in (self._path(step), self._path(before or 0)):
                path.unlink()
        cpu = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        write_atomically(self._path(step), save(cpu))

    def load(self, step: int) -> dict[str, Tensor] | None:
        """The weights of `step`, on the CPU; None when they are not there or broken."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(self._path(step)))
        except (OSError, SafetensorError):
            return None

    def _path(self, step: int) -> Path:
        return self.folder / f"best-{step:06}.safetensors"
