"""What is kept of one concept: adapters and moments in float32. Sums are made of these very values."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from fedshow.releases import FileEntry
from fedshow_server.fusion.ledger.tensors import (
    TensorReader,
    TensorWriter,
    packed,
    packed_shape,
    unpacked,
)
from fedshow_server.fusion.statistics import Seen, Statistics
from fedshow_server.fusion.sums import Part
from fedshow_server.fusion.wiring import Wiring, unturned


def write_record(path: Path, statistics: Statistics) -> FileEntry:
    """Writes one concept's record."""
    tensors: dict[str, Tensor] = {}
    for layer, (down_RI, up_OR) in statistics.adapters.items():
        tensors |= {f"{layer}.down": down_RI, f"{layer}.up": up_OR}
    return _write(path, tensors, statistics.seen)


def write_seen(path: Path, seen: Seen) -> FileEntry:
    """Writes what the base reads and gives."""
    given = {f"{layer}.given": torch.tensor(value) for layer, value in seen.given.items()}
    return _write(path, given, seen)


def read_seen(tensors: TensorReader, wiring: Wiring) -> Seen:
    """What `write_seen` wrote."""
    names = list(wiring.readers)
    keys = {layer: f"{layer}.given" for layer in wiring.sides}
    fit, heldout = (
        {name: unpacked(tensors[f"{name}.{kind}"]) for name in names} for kind in ("fit", "heldout")
    )
    given = {layer: float(tensors[key]) for layer, key in keys.items() if key in tensors}
    return Seen(fit, heldout, given)


def _write(path: Path, tensors: Mapping[str, Tensor], seen: Seen) -> FileEntry:
    """Writes tensors as they are, and moments as triangles, one at a time: all are half as much again."""
    moments = {
        f"{name}.{kind}": moment_II
        for kind, of_kind in (("fit", seen.fit), ("heldout", seen.heldout))
        for name, moment_II in of_kind.items()
    }
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    shapes |= {key: packed_shape(len(moment_II)) for key, moment_II in moments.items()}
    with TensorWriter(path, shapes, torch.float32) as writer:
        for key, tensor in tensors.items():
            writer.write(key, tensor)
        for key, moment_II in moments.items():
            writer.write(key, packed(moment_II))
        return writer.finish()


class Record:
    """One concept's record, read piece by piece."""

    def __init__(self, path: Path, scale: float, device: torch.device) -> None:
        """Raises Damaged when the file is none."""
        self._tensors = TensorReader(path, device)
        self._scale = scale

    def adapts(self, layer: str) -> bool:
        """Whether the concept has an adapter in this layer, turned or not."""
        return f"{unturned(layer)}.down" in self._tensors

    @property
    def ranks(self) -> dict[str, int]:
        """Layer to the rank of the concept's adapter there."""
        found = self._tensors.shapes.items()
        return {key.removesuffix(".down"): s[0] for key, s in found if key.endswith(".down")}

    def moment(self, input_name: str, kind: str) -> Tensor:
        """`fit` or `heldout` moment of one input."""
        return unpacked(self._tensors[f"{input_name}.{kind}"])

    def part(
        self, layer: str, weight: float, fit_II: Tensor | None, heldout_II: Tensor | None
    ) -> Part | None:
        """The concept's part in one layer; None when it has no adapter there."""
        if not self.adapts(layer):
            return None
        name = unturned(layer)
        up_OR = self._tensors[f"{name}.up"] * self._scale
        part = Part(self._tensors[f"{name}.down"], up_OR, weight, fit_II, heldout_II)
        return part if name == layer else part.turned
