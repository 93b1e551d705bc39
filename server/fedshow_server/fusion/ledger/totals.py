"""The sums of one set of concepts on disk, made from those of a similar set.

One input at a time: memory holds its sums, and the matrices of one concept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from fedshow.releases import FileEntry
from fedshow_server.fusion.ledger.records import Record
from fedshow_server.fusion.ledger.tensors import (
    TensorReader,
    TensorWriter,
    packed,
    packed_shape,
    unpacked,
)
from fedshow_server.fusion.sums import LayerSums
from fedshow_server.fusion.wiring import Wiring

FIELDS = tuple(each.name for each in fields(LayerSums))
KINDS = ("fit", "heldout")
"""Moments of a concept."""

GENERIC = {"generic": "fit", "generic_heldout": "heldout"}
"""Sums over distinct class words, and the kind of moments they are sums of."""


@dataclass(frozen=True)
class Change:
    """How one concept's share of the sums changes."""

    record: Callable[[], Record]
    """Opens its record; not kept open, so that memory stays the same for any number."""
    weight: float
    """By how much its weight changes."""


@dataclass(frozen=True)
class ClassChange:
    """A class word that comes in (1) or goes (-1), with the base's moments of it."""

    moments: TensorReader
    presence: int


class Totals:
    """The sums of one set, or, where nothing is `stored`, of none."""

    def __init__(
        self, wiring: Wiring, device: torch.device, stored: TensorReader | None = None
    ) -> None:
        self._wiring, self._device, self._stored = wiring, device, stored

    def square(self, input_name: str, field: str) -> Tensor:
        """`fit`, `heldout`, `generic` or `generic_heldout` of one input."""
        if self._stored is not None:
            return unpacked(self._stored[f"{input_name}.{field}"])
        width = self._wiring.width(input_name)
        return torch.zeros(width, width, dtype=torch.float64, device=self._device)

    def has(self, layer: str) -> bool:
        """Whether a concept has, or had, an adapter in this layer."""
        return self._stored is not None and f"{layer}.{FIELDS[0]}" in self._stored

    def layer(self, layer: str) -> LayerSums:
        """The sums of one layer."""
        if self._stored is None or not self.has(layer):
            return LayerSums.zeros(*self._wiring.shape(layer), self._device)
        return LayerSums(**{field: self._stored[f"{layer}.{field}"] for field in FIELDS})


def write_totals(
    path: Path,
    wiring: Wiring,
    start: Totals,
    changes: Sequence[Change],
    classes: Sequence[ClassChange],
) -> FileEntry:
    """Writes the sums of `start` after all changes."""
    adapted = set(filter(start.has, wiring.sides))
    for change in changes:
        adapted |= set(filter(change.record().adapts, wiring.sides))
    with TensorWriter(path, _shapes(wiring, adapted), torch.float64) as writer:
        for name, readers in wiring.readers.items():
            layers = {layer: start.layer(layer) for layer in readers if layer in adapted}
            squares, layers = _changed(name, start, layers, changes)
            for key, tensor in (_generic(name, start, classes) | squares).items():
                writer.write(key, packed(tensor))
            for key, tensor in _flat(layers):
                writer.write(key, tensor)
        return writer.finish()


def _changed(
    name: str, start: Totals, layers: Mapping[str, LayerSums], changes: Sequence[Change]
) -> tuple[dict[str, Tensor], dict[str, LayerSums]]:
    """One input's own sums and those of its layers, concept after concept."""
    changed = dict(layers)
    squares = {f"{name}.{kind}": start.square(name, kind) for kind in KINDS}
    for change in changes:
        record = change.record()
        moments = {kind: record.moment(name, kind) for kind in KINDS}
        for kind, moment_II in moments.items():
            squares[f"{name}.{kind}"] = squares[f"{name}.{kind}"] + change.weight * moment_II
        for layer, sums in changed.items():
            part = record.part(layer, change.weight, moments["fit"], moments["heldout"])
            if part is not None:
                changed[layer] = sums.plus(part, change.weight)
    return squares, changed


def _generic(name: str, start: Totals, classes: Sequence[ClassChange]) -> dict[str, Tensor]:
    found = {}
    for field, kind in GENERIC.items():
        total_II = start.square(name, field)
        for change in classes:
            total_II = total_II + change.presence * unpacked(change.moments[f"{name}.{kind}"])
        found[f"{name}.{field}"] = total_II
    return found


def _flat(layers: Mapping[str, LayerSums]) -> Iterator[tuple[str, Tensor]]:
    for layer, sums in layers.items():
        for field in FIELDS:
            yield f"{layer}.{field}", getattr(sums, field)


def _shapes(wiring: Wiring, adapted: set[str]) -> dict[str, tuple[int, ...]]:
    """Every tensor of the file, in the order of writing."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, readers in wiring.readers.items():
        triangle = packed_shape(wiring.width(name))
        shapes |= {f"{name}.{field}": triangle for field in (*GENERIC, *KINDS)}
        for layer in readers:
            if layer in adapted:
                width_in, width_out = wiring.shape(layer)
                wide: tuple[int, ...] = (width_out, width_in)
                every = (wide, wide, wide, ())
                shapes |= {f"{layer}.{f}": s for f, s in zip(FIELDS, every, strict=True)}
    return shapes
