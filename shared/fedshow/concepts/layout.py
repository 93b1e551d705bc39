"""The safetensors container, strictly: no gaps, no extra bytes, three float types. Without torch."""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import safetensors
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from fedshow.documents import BadDocument, read_document
from fedshow.errors import RefusedConcept

MAX_HEADER_BYTES = 8 << 20
STORED: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # numpy has no bfloat16: the upper halves of float32
}


class _Tensor(BaseModel):
    """What the header says of one tensor."""

    model_config = ConfigDict(extra="forbid")

    dtype: str
    shape: tuple[PositiveInt, ...]
    data_offsets: tuple[NonNegativeInt, NonNegativeInt]


class _Header(BaseModel):
    """The file's JSON: every entry but one is a tensor."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, _Tensor]

    metadata: dict[str, str] = Field(default_factory=dict, alias="__metadata__")

    @property
    def tensors(self) -> dict[str, _Tensor]:
        """By key."""
        return self.__pydantic_extra__


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
            found = read_document(_Header, blob[8 : 8 + length], MAX_HEADER_BYTES)
        except BadDocument as error:
            raise RefusedConcept(f"not a safetensors file: {error!s:.120}") from None
        entries = {key: _checked(key, tensor) for key, tensor in found.tensors.items()}
        _check_order(entries, len(blob) - 8 - length)
        _check_readable(blob)
        return cls(entries, found.metadata, 8 + length)


def values_of(blob: bytes, layout: Layout, key: str) -> NDArray[np.float32]:
    """The tensor's values in its shape."""
    entry = layout.entries[key]
    data = memoryview(blob)[layout.data_start + entry.start : layout.data_start + entry.end]
    stored: NDArray[Any] = np.frombuffer(data, STORED[entry.dtype]).reshape(entry.shape)
    if entry.dtype == "BF16":
        return (stored.astype("<u4") << 16).view("<f4")
    return stored.astype(np.float32)


def _checked(key: str, tensor: _Tensor) -> TensorEntry:
    start, end = tensor.data_offsets
    if tensor.dtype not in STORED:
        raise RefusedConcept(f"{key}: dtype {tensor.dtype:.20}, allowed are {', '.join(STORED)}")
    size = math.prod(tensor.shape) * STORED[tensor.dtype].itemsize
    if end - start != size:
        raise RefusedConcept(
            f"{key}: shape {list(tensor.shape)!s:.80} does not fit {end - start} bytes of "
            f"{tensor.dtype}"
        )
    return TensorEntry(tensor.dtype, tensor.shape, start, end)


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
