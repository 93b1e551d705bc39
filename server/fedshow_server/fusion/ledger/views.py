"""Layers as fusion rules see them, out of a ledger's files: one input in memory at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from fedshow_server.fusion.ledger.index import Weights
from fedshow_server.fusion.ledger.records import Record
from fedshow_server.fusion.ledger.tensors import TensorReader, unpacked
from fedshow_server.fusion.ledger.totals import GENERIC, KINDS, Totals
from fedshow_server.fusion.sums import InputSums, Layer, Part, no_adapter
from fedshow_server.fusion.wiring import Wiring, turned


@dataclass(frozen=True)
class Views:
    """The layers of one set of concepts."""

    wiring: Wiring
    totals: Totals
    generic: TensorReader
    """Moments of prompts without a class."""

    classes: int
    weights: Weights
    record_of: Callable[[str], Record]

    def __iter__(self) -> Iterator[Layer]:
        """Every layer that some concept adapts; keys come with the layer whose queries meet them."""
        keys = set(self.wiring.queries.values())
        for name, readers in self.wiring.readers.items():
            if name not in keys:
                reads = self._input_sums(name)
                yield from (
                    self._layer(layer, name, reads) for layer in readers if self.totals.has(layer)
                )

    def _layer(self, layer: str, name: str, reads: InputSums) -> Layer:
        parts, sums = partial(self._parts, name, layer), self.totals.layer(layer)
        given, other = float(self.generic[f"{layer}.given"]), None
        if layer in self.wiring.queries:
            keys = self.wiring.queries[layer]
            other = self._layer(turned(layer), keys, self._input_sums(keys))
        return Layer(layer, name, reads, sums, parts, given, other)

    def _input_sums(self, name: str) -> InputSums:
        """Half of the guard are prompts without a class, the other half is shared by the classes."""
        generic_II, generic_heldout_II = (
            (
                unpacked(self.generic[f"{name}.{kind}"])
                + self.totals.square(name, field) / self.classes
            )
            / 2
            for field, kind in GENERIC.items()
        )
        return InputSums(
            self.totals.square(name, "fit"),
            self.totals.square(name, "heldout"),
            generic_II,
            generic_heldout_II,
            weight=sum(self.weights.values()),
            concepts=len(self.weights),
        )

    def _parts(self, input_name: str, layer: str, moments: bool = True) -> Iterator[Part]:
        """The concepts in order of name; one without an adapter here has rank 0."""
        for name, weight in self.weights.items():
            record = self.record_of(name)
            fit_II, heldout_II = (
                record.moment(input_name, kind) if moments else None for kind in KINDS
            )
            part = record.part(layer, weight, fit_II, heldout_II)
            nothing = no_adapter(*self.wiring.shape(layer), self.generic.device)
            yield part or Part(*nothing, weight, fit_II, heldout_II)
