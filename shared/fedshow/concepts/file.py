"""Reading, checking and writing concept files, without torch: servers check before they load.

Keys: `unet.<module>.lora_A.weight [rank, in]`, `unet.<module>.lora_B.weight [out, rank]`, the same
under `text_encoder.`, and `tokens.<word> [slots, dim]`. Families without a U-Net have `transformer.`
instead, those with a second text encoder also `text_encoder_2.` and `tokens_2.<word> [slots, dim_2]`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedshow.concepts.header import ConceptHeader
from fedshow.concepts.keys import ADAPTED, DOWN, TOKENS, UP, is_token_key, layers_in
from fedshow.concepts.layout import Layout, values_of
from fedshow.concepts.magnitudes import check_update, check_values
from fedshow.errors import BaseMismatch, RefusedConcept
from fedshow.files import write_atomically
from fedshow.wire import MAX_CONCEPT_BYTES

if TYPE_CHECKING:  # cards name bases by what a header says: importing them here is a circle
    from fedshow.families.card import BaseCard


@dataclass(frozen=True)
class ConceptFile:
    """A checked concept file, whole in memory."""

    header: ConceptHeader
    layout: Layout
    blob: bytes

    @property
    def sha256(self) -> str:
        """Digest of the file's bytes: the concept's identity everywhere."""
        return sha256(self.blob).hexdigest()

    @property
    def token_keys(self) -> list[str]:
        """Keys of its words' rows, encoder by encoder."""
        keys = [f"{encoder}{word}" for encoder in TOKENS for word in self.header.words]
        return [key for key in keys if key in self.layout.entries]

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
    Raises RefusedConcept (format, keys, shapes, dtypes, NaN, magnitudes, size) or BaseMismatch,
    which name the file.
    """
    if isinstance(source, bytes):
        return _checked(source, card)
    try:
        return _checked(_read_bytes(source), card)
    except (RefusedConcept, BaseMismatch) as error:
        raise type(error)(f"{source}: {error}") from error


def _checked(blob: bytes, card: "BaseCard | None") -> ConceptFile:
    if len(blob) > MAX_CONCEPT_BYTES:
        raise RefusedConcept(f"{len(blob)} bytes, limit {MAX_CONCEPT_BYTES}")
    layout = Layout.of(blob)
    if set(layout.metadata) != {"fedshow"}:
        found = sorted(layout.metadata)
        raise RefusedConcept(f"metadata keys must be exactly 'fedshow', found {found}")
    concept = ConceptFile(ConceptHeader.parse(layout.metadata["fedshow"]), layout, blob)
    _check_keys(concept)
    _check_magnitudes(concept)
    if card is not None:
        check_against(concept, card)
    return concept


def write_concept(
    path: Path,
    header: ConceptHeader,
    tensors: Mapping[str, Any],
    card: "BaseCard | None" = None,
) -> ConceptFile:
    """Writes torch `tensors` with their `header` to `path` and returns what was written.

    It is checked before, with `card` also against that base.
    """
    from safetensors.torch import save

    ordered = {key: tensors[key].detach().cpu().contiguous() for key in sorted(tensors)}
    concept = read_concept(save(ordered, metadata={"fedshow": header.dump()}), card)
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
    for missing in _token_keys(header, card.token_dims) - set(concept.layout.entries):
        raise RefusedConcept(f"missing {missing!r}, for {card.name} has that text encoder")
    for key, entry in concept.layout.entries.items():
        want = _expected_shape(key, header, card)
        if want is None:
            raise RefusedConcept(f"key {key!r} names nothing that {card.name} has")
        if entry.shape != want:
            raise RefusedConcept(f"{key}: shape {list(entry.shape)}, must be {list(want)}")


def _expected_shape(key: str, header: ConceptHeader, card: "BaseCard") -> tuple[int, ...] | None:
    if is_token_key(key):
        dim = card.token_dims.get(key.partition(".")[0])
        return None if dim is None else (header.slots, dim)
    half = DOWN if key.endswith(DOWN) else UP
    if (size := card.layers.get(key.removesuffix(half))) is None:
        return None
    d_in, d_out = size
    return (header.rank, d_in) if half == DOWN else (d_out, header.rank)


def _read_bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_CONCEPT_BYTES:
            raise RefusedConcept(f"{size} bytes, limit {MAX_CONCEPT_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise RefusedConcept(f"cannot read concept file: {error.strerror}") from error


def _check_keys(concept: ConceptFile) -> None:
    header, entries = concept.header, concept.layout.entries
    present = {key.partition(".")[0] for key in entries if is_token_key(key)}
    tokens = _token_keys(header, {"tokens", *present})
    if missing := tokens - set(entries):
        raise RefusedConcept(f"missing {sorted(missing)[0]!r}")
    for key, entry in entries.items():
        if key not in tokens:
            twin = _other_half(key)
            if twin not in entries:
                raise RefusedConcept(f"{key!r} without {twin!r}")
            rank_axis = 0 if key.endswith(DOWN) else 1
            if len(entry.shape) != 2 or entry.shape[rank_axis] != header.rank:
                shape = list(entry.shape)
                raise RefusedConcept(f"{key}: shape {shape} is not one of rank {header.rank}")


def _token_keys(header: ConceptHeader, encoders: Iterable[str]) -> set[str]:
    return {f"{encoder}.{word}" for encoder in encoders for word in header.words}


def _other_half(key: str) -> str:
    """The key of an adapter's other half; raises RefusedConcept for a key that is no adapter's."""
    for half, other in ((DOWN, UP), (UP, DOWN)):
        layer = key.removesuffix(half)
        if layer != key and layer.startswith(ADAPTED):
            return layer + other
    raise RefusedConcept(f"unknown key {key!r}")


def _check_magnitudes(concept: ConceptFile) -> None:
    values = partial(values_of, concept.blob, concept.layout)
    for key in concept.layout.entries:
        check_values(key, values(key))
    for layer in layers_in(concept.layout.entries):
        check_update(layer, values(layer + DOWN), values(layer + UP), concept.header.scale)
