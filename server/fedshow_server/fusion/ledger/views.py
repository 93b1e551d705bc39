"""Layers as fusion rules see them, out of a ledger's files: one input in memory at a time."""

from collections.abc import Callable, Iterator
from functools import partial

from fedshow_server.fusion.ledger.index import Weights
from fedshow_server.fusion.ledger.records import Record
from fedshow_server.fusion.ledger.tensors import TensorReader, unpacked
from fedshow_server.fusion.ledger.totals import GENERIC, KINDS, Totals
from fedshow_server.fusion.sums import InputSums, Layer, Part, no_adapter
from fedshow_server.fusion.wiring import Wiring


def layers_of(
    wiring: Wiring,
    totals: Totals,
    generic: TensorReader,
    classes: int,
    weights: Weights,
    record_of: Callable[[str], Record],
) -> Iterator[Layer]:
    """Every layer that some concept adapts; `generic` are the moments of prompts without a class."""
    for name, readers in wiring.readers.items():
        reads = _input_sums(name, totals, generic, classes, weights)
        for layer in readers:
            if totals.has(layer):
                parts = partial(_parts, wiring, name, layer, weights, record_of)
                given = float(generic[f"{layer}.given"])
                yield Layer(layer, name, reads, totals.layer(layer), parts, given)


def _input_sums(
    name: str, totals: Totals, generic: TensorReader, classes: int, weights: Weights
) -> InputSums:
    """Half of the guard are prompts without a class, the other half is shared by the classes."""
    generic_II, generic_heldout_II = (
        (unpacked(generic[f"{name}.{kind}"]) + totals.square(name, field) / classes) / 2
        for field, kind in GENERIC.items()
    )
    return InputSums(
        totals.square(name, "fit"),
        totals.square(name, "heldout"),
        generic_II,
        generic_heldout_II,
        weight=sum(weights.values()),
        concepts=len(weights),
    )


def _parts(
    wiring: Wiring,
    input_name: str,
    layer: str,
    weights: Weights,
    record_of: Callable[[str], Record],
    moments: bool = True,
) -> Iterator[Part]:
    """The concepts in order of name; one without an adapter here has rank 0."""
    for name, weight in weights.items():
        record = record_of(name)
        fit_II, heldout_II = (
            record.moment(input_name, kind) if moments else None for kind in KINDS
        )
        part = record.part(layer, weight, fit_II, heldout_II)
        yield part or Part(*no_adapter(*wiring.layers[layer]), weight, fit_II, heldout_II)
