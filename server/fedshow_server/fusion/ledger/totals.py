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
GENERIC = {"generic": "fit", "generic_heldout": "heldout"}
"""Sums over distinct class words, and the kind of moments they are sums of."""


@dataclass(frozen=True)
class Change:
    """How one concept's share of the sums changes."""

    record: Callable[[], Record]
    """Opens its record; not kept open, so that memory stays the same for any number."""
    weight: float
    presence: int
    """1: comes in, -1: goes, 0: only its weight changes."""


@dataclass(frozen=True)
class ClassChange:
    """A class word that comes in (1) or goes (-1), with the base's moments of it."""

    moments: TensorReader
    presence: int


class Totals:
    """The sums of one set, or of none."""

    def __init__(self, wiring: Wiring, stored: TensorReader | None = None) -> None:
        self._wiring, self._stored = wiring, stored

    def square(self, input_name: str, field: str) -> Tensor:
        """`fit`, `generic` or `generic_heldout` of one input."""
        if self._stored is not None:
            return unpacked(self._stored[f"{input_name}.{field}"])
        width = self._wiring.width(input_name)
        return torch.zeros(width, width, dtype=torch.float64)

    def has(self, layer: str) -> bool:
        """Whether a concept has, or had, an adapter in this layer."""
        return self._stored is not None and f"{layer}.{FIELDS[0]}" in self._stored.keys

    def layer(self, layer: str) -> LayerSums:
        """The sums of one layer."""
        if self._stored is None or not self.has(layer):
            return LayerSums.zeros(*self._wiring.layers[layer])
        found = {field: self._stored[f"{layer}.{field}"] for field in FIELDS}
        return LayerSums(**found | {"heldout_II": unpacked(found["heldout_II"])})


def write_totals(
    path: Path,
    wiring: Wiring,
    start: Totals,
    changes: Sequence[Change],
    classes: Sequence[ClassChange],
) -> FileEntry:
    """Writes the sums of `start` after all changes."""
    adapted = {layer for layer in wiring.layers if start.has(layer)}
    for change in changes:
        adapted |= set(filter(change.record().adapts, wiring.layers))
    with TensorWriter(path, _shapes(wiring, adapted), torch.float64) as writer:
        for name, readers in wiring.readers.items():
            layers = {layer: start.layer(layer) for layer in readers if layer in adapted}
            for key, tensor in _generic(name, start, classes).items():
                writer.write(key, packed(tensor))
            fit_II, layers = _changed(name, start.square(name, "fit"), layers, changes)
            writer.write(f"{name}.fit", packed(fit_II))
            for key, tensor in _flat(layers):
                writer.write(key, tensor)
        return writer.finish()


def _changed(
    name: str, fit_II: Tensor, layers: Mapping[str, LayerSums], changes: Sequence[Change]
) -> tuple[Tensor, dict[str, LayerSums]]:
    """One input's own sum and those of its layers, concept after concept."""
    changed = dict(layers)
    for change in changes:
        record = change.record()
        own_fit_II, heldout_II = (record.moment(name, kind) for kind in ("fit", "heldout"))
        fit_II = fit_II + change.weight * own_fit_II
        for layer, sums in changed.items():
            if (part := record.part(layer, change.weight, own_fit_II, heldout_II)) is not None:
                changed[layer] = sums.plus(part, change.weight, change.presence)
    return fit_II, changed


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
            value: Tensor = getattr(sums, field)
            yield f"{layer}.{field}", packed(value) if field == "heldout_II" else value


def _shapes(wiring: Wiring, adapted: set[str]) -> dict[str, tuple[int, ...]]:
    """Every tensor of the file, in the order of writing."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, readers in wiring.readers.items():
        triangle = packed_shape(wiring.width(name))
        shapes |= {f"{name}.{field}": triangle for field in (*GENERIC, "fit")}
        for layer in readers:
            if layer in adapted:
                width_in, width_out = wiring.layers[layer]
                wide: tuple[int, ...] = (width_out, width_in)
                every = (wide, wide, wide, triangle, (), ())
                shapes |= {f"{layer}.{f}": s for f, s in zip(FIELDS, every, strict=True)}
    return shapes
