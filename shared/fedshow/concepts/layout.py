"""The safetensors container, strictly: no gaps, no extra bytes, three float types. Without torch."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import safetensors
from numpy.typing import NDArray

from fedshow.errors import RefusedConcept

MAX_HEADER_BYTES = 8 << 20
STORED: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # numpy has no bfloat16: the upper halves of float32
}


@dataclass(frozen=True)
class TensorEntry:
    """Where one tensor lies in the file's data part."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Layout:
    """What a safetensors file's own header says, checked against its bytes."""

    entries: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]
    data_start: int

    @classmethod
    def of(cls, blob: bytes) -> Self:
        """The layout of the file in `blob`; raises RefusedConcept."""
        if len(blob) < 8:
            raise RefusedConcept(f"not a safetensors file: {len(blob)} bytes")
        (length,) = struct.unpack("<Q", blob[:8])
        if length > min(MAX_HEADER_BYTES, len(blob) - 8):
            raise RefusedConcept(f"not a safetensors file: header of {length} bytes in {len(blob)}")
        try:
            raw = json.loads(blob[8 : 8 + length])
            metadata = {str(k): str(v) for k, v in raw.pop("__metadata__", {}).items()}
            entries = {key: _entry(key, value) for key, value in raw.items()}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise RefusedConcept(f"not a safetensors file: {error!s:.120}") from None
        _check_order(entries, len(blob) - 8 - length)
        _check_readable(blob)
        return cls(entries, metadata, 8 + length)


def values_of(blob: bytes, layout: Layout, key: str) -> NDArray[np.float32]:
    """The tensor's values in its shape."""
    entry = layout.entries[key]
    data = memoryview(blob)[layout.data_start + entry.start : layout.data_start + entry.end]
    stored: NDArray[Any] = np.frombuffer(data, STORED[entry.dtype]).reshape(entry.shape)
    if entry.dtype == "BF16":
        return (stored.astype("<u4") << 16).view("<f4")
    return stored.astype(np.float32)


def _entry(key: str, value: dict[str, Any]) -> TensorEntry:
    shape = tuple(int(n) for n in value["shape"])
    start, end = (int(n) for n in value["data_offsets"])
    dtype = str(value["dtype"])
    if dtype not in STORED:
        raise RefusedConcept(f"{key}: dtype {dtype}, allowed are {', '.join(STORED)}")
    if min(shape, default=1) < 1 or end - start != int(np.prod(shape)) * STORED[dtype].itemsize:
        raise RefusedConcept(
            f"{key}: shape {list(shape)} does not fit {end - start} bytes of {dtype}"
        )
    return TensorEntry(dtype, shape, start, end)


def _check_order(entries: Mapping[str, TensorEntry], size: int) -> None:
    position = 0
    for key, entry in sorted(entries.items(), key=lambda item: item[1].start):
        if entry.start != position:
            raise RefusedConcept(f"{key}: data starts at {entry.start}, expected {position}")
        position = entry.end
    if position != size:
        raise RefusedConcept(f"{size - position} bytes at the end belong to no tensor")


def _check_readable(blob: bytes) -> None:
    """The library that loads the file later must take it: it is stricter about the header's JSON."""
    try:
        safetensors.deserialize(blob)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise RefusedConcept(f"not a safetensors file: {error!s:.120}") from None
