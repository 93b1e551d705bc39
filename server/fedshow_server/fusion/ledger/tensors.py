"""Large safetensors files, written tensor by tensor and read tensor by tensor.

Symmetric matrices are kept as their lower triangles.
"""

import json
import math
import os
import struct
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fedshow.errors import Damaged
from fedshow.files import digest
from fedshow.releases import FileEntry
from fedshow.releases.verify import check_size

CPU = torch.device("cpu")
SPELLED = {torch.float32: "F32", torch.float64: "F64"}
READ = {"F32": "<f4", "F64": "<f8"}


class TensorWriter:
    """Writes one file; memory never holds more than the tensor at hand."""

    def __init__(
        self, path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype
    ) -> None:
        self._file = path.open("wb")
        self._digest, self._size = sha256(), 0
        self._dtype = dtype
        self._expected = iter(shapes.items())
        self._put(_header(shapes, dtype))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, key: str, tensor: Tensor) -> None:
        """Appends one tensor; they come in the order in which their shapes were announced."""
        announced = next(self._expected)
        assert announced == (key, tuple(tensor.shape)), f"{announced} comes before {key}"
        self._put(tensor.detach().to("cpu", self._dtype).contiguous().numpy().tobytes())

    def finish(self) -> FileEntry:
        """What was written, once it is on the disk."""
        assert next(self._expected, None) is None, "a tensor is missing"
        self._file.flush()
        os.fsync(self._file.fileno())
        return FileEntry(sha256=self._digest.hexdigest(), size_bytes=self._size)

    def _put(self, content: bytes) -> None:
        self._file.write(content)
        self._digest.update(content)
        self._size += len(content)


def _header(shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> bytes:
    entries: dict[str, Any] = {}
    end = 0
    for key, shape in shapes.items():
        start, end = end, end + math.prod(shape) * dtype.itemsize
        entries[key] = {
            "dtype": SPELLED[dtype],
            "shape": list(shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # numbers lie at multiples of their size
    return struct.pack("<Q", len(text)) + text


class TensorReader:
    """One such file; tensors come as float64, on a device."""

    def __init__(self, path: Path, device: torch.device = CPU) -> None:
        """Raises Damaged, naming the file, when it is none of ours."""
        try:
            state = path.stat()
            self._places = _places(path, state.st_ino, state.st_mtime_ns, state.st_size)
        except (OSError, SafetensorError) as error:
            raise Damaged(f"{path}: {error}") from error
        self._path, self.device = path, device

    def __contains__(self, key: str) -> bool:
        return key in self._places

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of all tensors, without reading one."""
        return {key: place.shape for key, place in self._places.items()}

    def __getitem__(self, key: str) -> Tensor:
        place = self._places[key]
        count = math.prod(place.shape)
        found = torch.from_numpy(np.fromfile(self._path, place.dtype, count, offset=place.start))
        return (
            found.view(place.shape).to(self.device).double()
        )  # widened there: half as much to send


class _Place(NamedTuple):
    """Where one tensor lies in a file."""

    dtype: str
    shape: tuple[int, ...]
    start: int


@lru_cache(maxsize=256)
def _places(path: Path, *_state: int) -> Mapping[str, _Place]:
    """By key; read once of each file, which is far dearer than any tensor where layers are many."""
    with safe_open(path, "numpy"):
        pass  # refuses what is none
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        entries = json.loads(file.read(length))
    return {
        key: _Place(
            READ[entry["dtype"]], tuple(entry["shape"]), 8 + length + entry["data_offsets"][0]
        )
        for key, entry in entries.items()
        if key != "__metadata__"
    }


def check_bytes(path: Path, entry: FileEntry) -> None:
    """Raises Damaged, naming the file, when its bytes are not what was written."""
    check_size(path, str(path), entry)
    if (found := digest(path)) != entry.sha256:
        raise Damaged(f"{path}: sha256 {found[:12]}…, must be {entry.sha256[:12]}…")


def packed(symmetric_II: Tensor) -> Tensor:
    """The lower triangle, row after row, `[I (I + 1) / 2]`."""
    return torch.take(symmetric_II, _of_triangle(len(symmetric_II), symmetric_II.device))


def unpacked(triangle: Tensor) -> Tensor:
    """The symmetric matrix with this lower triangle."""
    width = (math.isqrt(8 * len(triangle) + 1) - 1) // 2
    return torch.take(triangle, _of_matrix(width, triangle.device))


def packed_shape(width: int) -> tuple[int]:
    """The shape of a lower triangle."""
    return (width * (width + 1) // 2,)


@lru_cache(maxsize=16)
def _of_triangle(width: int, device: torch.device) -> Tensor:
    """For each number of the triangle, its place in the matrix."""
    rows, columns = torch.tril_indices(width, width, device=device).unbind()
    return rows * width + columns


@lru_cache(maxsize=16)
def _of_matrix(width: int, device: torch.device) -> Tensor:
    """For each number of the matrix, its place in the triangle, `[I, I]`."""
    number = torch.arange(width, device=device)
    rows_II = torch.maximum(number[:, None], number)
    columns_II = torch.minimum(number[:, None], number)
    place_II: Tensor = rows_II * (rows_II + 1) // 2 + columns_II
    return place_II
