"""safetensors files of other programs, read as strictly as our own."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from fedshow.concepts.layout import Layout
from fedshow.errors import InvalidInput, RefusedConcept
from fedshow.files import write_atomically
from fedshow.wire import MAX_CONCEPT_BYTES

Tensors = dict[str, Tensor]


def read_tensors(file: Path) -> tuple[Tensors, dict[str, str]]:
    """Tensors and metadata of a safetensors file; raises InvalidInput naming the file."""
    from safetensors.torch import load

    blob = read_limited(file)
    try:
        layout = Layout.of(blob)
    except RefusedConcept as error:
        raise InvalidInput(f"{file}: {error}") from error
    return dict(load(blob)), dict(layout.metadata)


def keys_of(file: Path) -> list[str]:
    """Of the tensors in a safetensors file; none of any other file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as opened:
            return list(opened.keys())
    except (OSError, SafetensorError):
        return []


def read_limited(file: Path) -> bytes:
    """The bytes of a file that is no larger than a concept may be; raises InvalidInput."""
    try:
        size = file.stat().st_size
        if size > MAX_CONCEPT_BYTES:
            raise InvalidInput(f"{file}: {size} bytes, limit {MAX_CONCEPT_BYTES}")
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from None


def write_tensors(file: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes a safetensors file, whole or not at all; metadata says `format: pt` as transformers asks."""
    from safetensors.torch import save

    ordered = {key: tensors[key].detach().cpu().contiguous() for key in sorted(tensors)}
    write_atomically(file, save(ordered, metadata={"format": "pt", **metadata}))
