"""Reading, checking and writing concept files, without torch: servers check before they load.

Keys: `unet.<module>.lora_A.weight [rank, in]`, `unet.<module>.lora_B.weight [out, rank]`, the same
under `text_encoder.`, and `tokens.<word> [slots, dim]`.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedshow.concepts.header import ConceptHeader
from fedshow.errors import BaseMismatch, RefusedConcept
from fedshow.files import write_atomically
from fedshow.wire import MAX_CONCEPT_BYTES

if TYPE_CHECKING:  # cards name bases by what a header says: importing them here is a circle
    from fedshow.families.card import BaseCard

MAX_HEADER_BYTES = 8 << 20
DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<u4"),
    "F16": np.dtype("<u2"),
    "BF16": np.dtype("<u2"),
}
EXPONENT = {"F32": 0x7F800000, "F16": 0x7C00, "BF16": 0x7F80}
"""Bits that are all set in NaN and infinity."""


@dataclass(frozen=True)
class TensorEntry:
    """Where one tensor lies in the file's data part."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class ConceptFile:
    """A checked concept file, whole in memory."""

    header: ConceptHeader
    entries: Mapping[str, TensorEntry]
    blob: bytes

    @property
    def sha256(self) -> str:
        """Digest of the file's bytes: the concept's identity everywhere."""
        return sha256(self.blob).hexdigest()

    def tensors(self) -> dict[str, Any]:
        """Every tensor by key, as torch tensors in their stored dtype."""
        from safetensors.torch import load

        return dict(load(self.blob))

    def save(self, path: Path) -> None:
        """The same bytes at `path`, written whole or not at all."""
        write_atomically(path, self.blob)


def read_concept(source: Path | bytes, card: "BaseCard | None" = None) -> ConceptFile:
    """The concept file at a path or in memory, checked completely.

    With `card`, also that it fits that base: fingerprint, family, slots, every key and shape.
    Raises RefusedConcept (format, keys, shapes, dtypes, NaN or infinity, size) or BaseMismatch.
    """
    blob = source if isinstance(source, bytes) else _read_bytes(source)
    entries, metadata = _parse(blob)
    if set(metadata) != {"fedshow"}:
        extra = sorted(set(metadata) - {"fedshow"})
        raise RefusedConcept(f"metadata keys must be exactly 'fedshow', found also {extra}")
    concept = ConceptFile(ConceptHeader.parse(metadata["fedshow"]), entries, blob)
    _check_keys(concept)
    _check_finite(concept)
    if card is not None:
        check_against(concept, card)
    return concept


def write_concept(path: Path, header: ConceptHeader, tensors: Mapping[str, Any]) -> ConceptFile:
    """Writes torch `tensors` with their `header` to `path` and returns what was written, checked."""
    from safetensors.torch import save

    ordered = {key: tensors[key].detach().cpu().contiguous() for key in sorted(tensors)}
    concept = read_concept(save(ordered, metadata={"fedshow": header.dump()}))
    concept.save(path)
    return concept


def check_against(concept: ConceptFile, card: "BaseCard") -> None:
    """Raises BaseMismatch or RefusedConcept unless the concept fits the base of `card`."""
    header = concept.header
    if header.base.sha256 != card.sha256:
        raise BaseMismatch(
            f"concept {header.name!r} was made for base {header.base.name} ({header.base.sha256[:12]}), "
            f"this is {card.name} ({card.sha256[:12]})"
        )
    if (header.family, header.slots) != (card.family, card.slots):
        raise RefusedConcept(
            f"family {header.family!r} with {header.slots} slots, base has {card.family!r} with {card.slots}"
        )
    for key, entry in concept.entries.items():
        want = _expected_shape(key, header, card)
        if want is None:
            raise RefusedConcept(f"key {key!r} names no layer that takes adapters in {card.name}")
        if entry.shape != want:
            raise RefusedConcept(f"{key}: shape {list(entry.shape)}, must be {list(want)}")


def _expected_shape(key: str, header: ConceptHeader, card: "BaseCard") -> tuple[int, ...] | None:
    if key.startswith("tokens."):
        return (header.slots, card.token_dim)
    module, _, part = key.removesuffix(".weight").rpartition(".")
    if (size := card.layers.get(module)) is None:
        return None
    d_in, d_out = size
    return (header.rank, d_in) if part == "lora_A" else (d_out, header.rank)


def _read_bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_CONCEPT_BYTES:
            raise RefusedConcept(f"{path.name}: {size} bytes, limit {MAX_CONCEPT_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise RefusedConcept(f"cannot read concept file {path}: {error.strerror}") from error


def _parse(blob: bytes) -> tuple[dict[str, TensorEntry], dict[str, str]]:
    """The safetensors header; refuses gaps, overlaps and anything but the three float types."""
    if len(blob) > MAX_CONCEPT_BYTES:
        raise RefusedConcept(f"{len(blob)} bytes, limit {MAX_CONCEPT_BYTES}")
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
    _check_layout(entries, len(blob) - 8 - length)
    return entries, metadata


def _entry(key: str, value: dict[str, Any]) -> TensorEntry:
    shape = tuple(int(n) for n in value["shape"])
    start, end = (int(n) for n in value["data_offsets"])
    dtype = str(value["dtype"])
    if dtype not in DTYPES:
        raise RefusedConcept(f"{key}: dtype {dtype}, allowed are {', '.join(DTYPES)}")
    if min(shape, default=1) < 1 or end - start != int(np.prod(shape)) * DTYPES[dtype].itemsize:
        raise RefusedConcept(
            f"{key}: shape {list(shape)} does not fit {end - start} bytes of {dtype}"
        )
    return TensorEntry(dtype, shape, start, end)


def _check_layout(entries: Mapping[str, TensorEntry], size: int) -> None:
    position = 0
    for key, entry in sorted(entries.items(), key=lambda item: item[1].start):
        if entry.start != position:
            raise RefusedConcept(f"{key}: data starts at {entry.start}, expected {position}")
        position = entry.end
    if position != size:
        raise RefusedConcept(f"{size - position} bytes at the end belong to no tensor")


def _check_keys(concept: ConceptFile) -> None:
    header, entries = concept.header, concept.entries
    tokens = {f"tokens.{word}" for word in header.words}
    if missing := tokens - set(entries):
        raise RefusedConcept(f"missing {sorted(missing)[0]!r}")
    for key in entries:
        if key in tokens:
            continue
        module, _, part = key.removesuffix(".weight").rpartition(".")
        known = module.startswith(("unet.", "text_encoder.")) and key.endswith(".weight")
        if not known or part not in ("lora_A", "lora_B"):
            raise RefusedConcept(f"unknown key {key!r}")
        twin = f"{module}.{'lora_B' if part == 'lora_A' else 'lora_A'}.weight"
        if twin not in entries:
            raise RefusedConcept(f"{key!r} without {twin!r}")


def _check_finite(concept: ConceptFile) -> None:
    (length,) = struct.unpack("<Q", concept.blob[:8])
    data = memoryview(concept.blob)[8 + length :]
    for key, entry in concept.entries.items():
        bits: NDArray[Any] = np.frombuffer(data[entry.start : entry.end], DTYPES[entry.dtype])
        mask = EXPONENT[entry.dtype]
        if bool(((bits & mask) == mask).any()):
            raise RefusedConcept(f"{key} contains NaN or infinity")
