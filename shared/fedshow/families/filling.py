"""Components made of their configuration and filled with stored weights, one tensor at a time.

So that opening a base takes little more memory than its weights, whatever precision they are stored in:
what is mapped into memory of files is given back again and again.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedshow.errors import InvalidInput
from fedshow.families.stored import Place, read_header, weights_in

OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""What diffusers' autoencoders called their attention before 0.17; hubs are full of them."""

OLD_NAME = re.compile(rf"(attentions\.\d+)\.({'|'.join(OLD_ATTENTION)})\.")
CLIP_PREFIX = "text_model."

MOST_MAPPED_BYTES = 32 << 20
"""After so many bytes read, files are opened anew: until then their pages stay in memory."""


class Weights:
    """The tensors of safetensors files, by name."""

    def __init__(self, files: Sequence[Path]) -> None:
        headers = {file: read_header(file) for file in files}
        self.shapes = {
            n: shape for header in headers.values() for n, shape in header.shapes.items()
        }
        self._file_of = {name: file for file in files for name in headers[file].shapes}
        self._where = files[0] if len(files) == 1 else files[0].parent
        self._opened: dict[Path, Any] = {}
        self._mapped_bytes = 0

    def canonical(self) -> dict[str, str]:
        """Today's names to those in the files."""
        return {todays(name): name for name in self._file_of}

    def tensor(self, place: Place, dtype: torch.dtype) -> Tensor:
        """A copy in this precision; raises InvalidInput when there is none."""
        if place.key not in self._file_of:
            raise InvalidInput(f"{self._where}: {place.key} is missing")
        stored = self._mapped(place.key)
        if place.third is not None and stored.ndim:
            stored = stored.tensor_split(3)[place.third]
        if place.turned and stored.ndim == 2:
            stored = stored.T
        return stored.to(dtype, copy=True).contiguous()

    def _mapped(self, key: str) -> Tensor:
        """Out of a file that is opened once for many: reading its header takes longer than most tensors."""
        from safetensors import safe_open

        file = self._file_of[key]
        if self._mapped_bytes > MOST_MAPPED_BYTES:
            self._opened.clear()
            self._mapped_bytes = 0
        if file not in self._opened:
            self._opened[file] = safe_open(file, "pt")
        stored: Tensor = self._opened[file].get_tensor(key)
        self._mapped_bytes += stored.nbytes
        return stored

    def file(self, place: Place) -> Path:
        """Where a tensor lies."""
        return self._file_of[place.key]


def todays(name: str) -> str:
    """What today's libraries call a weight; CLIP's `text_model.` comes and goes with their versions."""
    short = name.removeprefix(CLIP_PREFIX)
    return OLD_NAME.sub(lambda found: f"{found[1]}.{OLD_ATTENTION[found[2]]}.", short)


def open_part(folder: Path, class_name: str, dtype: torch.dtype) -> nn.Module:
    """The component in a folder: configuration and weights as diffusers or transformers save them.

    Raises InvalidInput naming the file that is wrong.
    """
    import transformers

    weights = Weights(weights_in(folder))
    if (kind := getattr(transformers, class_name, None)) is not None:
        config = kind.config_class.from_pretrained(folder)
        part = make_empty(lambda: kind(config))
    else:
        part = make_from_dict(class_name, _diffusers_config(class_name, folder))
    stored = weights.canonical()
    places = {name: Place(stored.get(todays(name), name)) for name in part.state_dict()}
    return fill(part, weights, places, dtype)


def _diffusers_config(class_name: str, folder: Path) -> dict[str, Any]:
    import diffusers

    found: dict[str, Any] = getattr(diffusers, class_name).load_config(folder)
    return found


def make_from_dict(class_name: str, config: Mapping[str, Any]) -> nn.Module:
    """A diffusers component of this configuration, still without weights."""
    import diffusers

    kind = getattr(diffusers, class_name)
    return make_empty(lambda: kind.from_config(dict(config)))


def make_empty(make: Callable[[], nn.Module]) -> nn.Module:
    """What `make` makes, its parameters without memory."""
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        return make()


def fill(
    part: nn.Module, weights: Weights, places: Mapping[str, Place], dtype: torch.dtype
) -> nn.Module:
    """The component with its weights, `places` says which; raises InvalidInput for those that do not fit."""
    from accelerate.utils import set_module_tensor_to_device

    for name, wanted in part.state_dict().items():
        place = places[name]
        tensor = weights.tensor(place, dtype if wanted.is_floating_point() else wanted.dtype)
        if tensor.shape != wanted.shape:
            tensor = _as_matrix(tensor)
        if tensor.shape != wanted.shape:
            raise InvalidInput(
                f"{weights.file(place)}: {place.key} has the shape {list(tensor.shape)}, its configuration "
                f"asks for {list(wanted.shape)}"
            )
        set_module_tensor_to_device(part, name, "cpu", value=tensor, dtype=tensor.dtype)
    return part


def _as_matrix(tensor: Tensor) -> Tensor:
    """A 1×1 convolution is a linear layer."""
    return tensor[..., 0, 0] if tensor.ndim == 4 and tensor.shape[2:] == (1, 1) else tensor
