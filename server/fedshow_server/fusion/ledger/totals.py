"""The sums of one set of concepts on disk, made from those of a similar set.

One input at a time: memory holds its sums, and the matrices of one concept. Sums of a layer are kept as
factors while these are smaller.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from fedshow.releases import FileEntry
from fedshow_server.fusion.ledger.factors import Factors, are_smaller, row_width
from fedshow_server.fusion.ledger.index import Ranks, Weights
from fedshow_server.fusion.ledger.records import Record
from fedshow_server.fusion.ledger.tensors import (
    TensorReader,
    TensorWriter,
    packed,
    packed_shape,
    unpacked,
)
from fedshow_server.fusion.sums import LayerSums, Part
from fedshow_server.fusion.wiring import Wiring, unturned

FIELDS = tuple(each.name for each in fields(LayerSums))
KINDS = ("fit", "heldout")
"""Moments of a concept."""

GENERIC = {"generic": "fit", "generic_heldout": "heldout"}
"""Sums over distinct class words, and the kind of moments they are sums of."""

Forms = Mapping[str, int | None]
"""Adapted layer to the rank of its factors; None: it has matrices, which are smaller."""


@dataclass(frozen=True)
class Change:
    """How one concept's share of the sums changes."""

    name: str
    record: Callable[[], Record]
    """Opens its record; not kept open, so that memory stays the same for any number."""
    weight: float
    """By how much its weight changes."""
    stays: bool
    """Whether it is in the set afterwards."""


@dataclass(frozen=True)
class ClassChange:
    """A class word that comes in (1) or goes (-1), with the base's moments of it."""

    moments: TensorReader
    presence: int


class Totals:
    """The sums of the set with these weights, or, where nothing is `stored`, of none."""

    def __init__(
        self,
        wiring: Wiring,
        device: torch.device,
        stored: TensorReader | None,
        weights: Weights,
        ranks: Mapping[str, Ranks],
    ) -> None:
        self._wiring, self._device, self._stored = wiring, device, stored
        self.weights, self._ranks = weights, ranks

    def square(self, input_name: str, field: str) -> Tensor:
        """`fit`, `heldout`, `generic` or `generic_heldout` of one input."""
        if self._stored is not None:
            return unpacked(self._stored[f"{input_name}.{field}"])
        width = self._wiring.width(input_name)
        return torch.zeros(width, width, dtype=torch.float64, device=self._device)

    def has(self, layer: str) -> bool:
        """Whether a concept has an adapter in this layer."""
        return self._holds(f"{layer}.rows") or self._holds(f"{layer}.{FIELDS[0]}")

    def layer(self, layer: str) -> LayerSums:
        """The sums of one layer."""
        shape = self._wiring.shape(layer)
        if self._holds(f"{layer}.rows"):
            return self.factors(layer).multiplied(self.weights, *shape)
        if self._stored is None or not self.has(layer):
            return LayerSums.zeros(*shape, self._device)
        return LayerSums(**{field: self._stored[f"{layer}.{field}"] for field in FIELDS})

    def factors(self, layer: str) -> Factors:
        """The factors of one layer's sums, which must not be matrices."""
        if self._stored is None or not self.has(layer):
            return Factors({})
        names = sorted(self.weights)
        ranks = [self._ranks[name].get(unturned(layer), 0) for name in names]
        rows_NF = self._stored[f"{layer}.rows"]
        return Factors(dict(zip(names, torch.split(rows_NF, ranks), strict=True)))

    def leads_to(self, forms: Forms) -> bool:
        """Whether sums of these forms can be made from those here: no matrix becomes factors again."""
        return not any(
            self._holds(f"{layer}.{FIELDS[0]}") for layer, rank in forms.items() if rank is not None
        )

    def _holds(self, key: str) -> bool:
        return self._stored is not None and key in self._stored


def forms_of(wiring: Wiring, ranks: Mapping[str, Ranks]) -> Forms:
    """How the sums of a set of concepts with such adapters are kept."""
    total = Counter[str]()
    for of_concept in ranks.values():
        total.update(of_concept)
    adapted = {layer: total[unturned(layer)] for layer in wiring.sides if unturned(layer) in total}
    return {
        layer: rank if are_smaller(rank, *wiring.shape(layer)) else None
        for layer, rank in adapted.items()
    }


def write_totals(
    path: Path,
    wiring: Wiring,
    start: Totals,
    changes: Sequence[Change],
    classes: Sequence[ClassChange],
    forms: Forms,
) -> FileEntry:
    """Writes the sums of `start`, which must lead to these forms, after all changes."""
    with TensorWriter(path, _shapes(wiring, forms), torch.float64) as writer:
        for name, readers in wiring.readers.items():
            layers = {
                layer: start.layer(layer) if forms[layer] is None else start.factors(layer)
                for layer in readers
                if layer in forms
            }
            squares, layers = _changed(name, start, layers, changes)
            for key, tensor in (_generic(name, start, classes) | squares).items():
                writer.write(key, packed(tensor))
            for key, tensor in _flat(layers):
                writer.write(key, tensor)
        return writer.finish()


def _changed(
    name: str, start: Totals, layers: Mapping[str, LayerSums | Factors], changes: Sequence[Change]
) -> tuple[dict[str, Tensor], dict[str, LayerSums | Factors]]:
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
                changed[layer] = _with(sums, change, part)
    return squares, changed


def _with(sums: LayerSums | Factors, change: Change, part: Part) -> LayerSums | Factors:
    if isinstance(sums, LayerSums):
        return sums.plus(part, change.weight)
    return sums.plus(change.name, part) if change.stays else sums.without(change.name)


def _generic(name: str, start: Totals, classes: Sequence[ClassChange]) -> dict[str, Tensor]:
    found = {}
    for field, kind in GENERIC.items():
        total_II = start.square(name, field)
        for change in classes:
            total_II = total_II + change.presence * unpacked(change.moments[f"{name}.{kind}"])
        found[f"{name}.{field}"] = total_II
    return found


def _flat(layers: Mapping[str, LayerSums | Factors]) -> Iterator[tuple[str, Tensor]]:
    for layer, sums in layers.items():
        if isinstance(sums, Factors):
            yield f"{layer}.rows", sums.stacked()
            continue
        for field in FIELDS:
            yield f"{layer}.{field}", getattr(sums, field)


def _shapes(wiring: Wiring, forms: Forms) -> dict[str, tuple[int, ...]]:
    """Every tensor of the file, in the order of writing."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, readers in wiring.readers.items():
        triangle = packed_shape(wiring.width(name))
        shapes |= {f"{name}.{field}": triangle for field in (*GENERIC, *KINDS)}
        for layer in readers:
            if layer in forms:
                of_layer = _layer_shapes(forms[layer], *wiring.shape(layer))
                shapes |= {f"{layer}.{field}": shape for field, shape in of_layer.items()}
    return shapes


def _layer_shapes(rank: int | None, width_in: int, width_out: int) -> dict[str, tuple[int, ...]]:
    if rank is not None:
        return {"rows": (rank, row_width(width_in, width_out))}
    wide: tuple[int, ...] = (width_out, width_in)
    return dict(zip(FIELDS, (wide, wide, wide, ()), strict=True))
