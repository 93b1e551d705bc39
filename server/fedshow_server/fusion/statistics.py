"""All that a fusion needs to know of one concept: its adapters, and what the layers then read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from fedshow.concepts.magnitudes import check_update, check_values
from fedshow.errors import BaseMismatch, RefusedConcept
from fedshow_server.fusion.unfusable import UnfusableConcept
from fedshow_server.fusion.wiring import Wiring

MAX_MEAN_SQUARE = 1e6
"""Of what a layer reads. Real inputs stay below 100; squares of more leave what float32 adds up well."""

Moments = Mapping[str, Tensor]
"""Input name to its second moment E[x xᵀ], `[I, I]`."""


@dataclass(frozen=True)
class Seen:
    """What layers read while something was drawn: for the fit, and for judging it."""

    fit: Moments
    heldout: Moments
    given: Mapping[str, float] = field(default_factory=dict)
    """Layer to mean |W0 x|² of what it gave, held out; known of the bare base without a class word."""


@dataclass(frozen=True)
class Statistics:
    """One concept, ready to be fused with any others."""

    name: str
    class_word: str
    sha256: str
    """Of its concept file."""
    base_sha256: str
    scale: float
    adapters: Mapping[str, tuple[Tensor, Tensor]]
    """Layer to `down_RI` and `up_OR` as in the file: delta = scale * up @ down."""
    seen: Seen


def check(statistics: Statistics, wiring: Wiring) -> None:
    """Raises BaseMismatch for another base, UnfusableConcept naming the first thing that is wrong:
    shapes, NaN or infinity, magnitudes that no drawing gives.
    """
    if statistics.base_sha256 != wiring.base_sha256:
        raise BaseMismatch(
            f"concept {statistics.name!r} was recorded on base {statistics.base_sha256[:12]}, "
            f"this is {wiring.base_name} ({wiring.base_sha256[:12]})"
        )
    try:
        check_seen(statistics.seen, wiring)
        for layer, (down_RI, up_OR) in statistics.adapters.items():
            _check_adapter(layer, down_RI, up_OR, statistics.scale, wiring)
    except RefusedConcept as error:
        raise UnfusableConcept(statistics.name, str(error)) from None


def check_seen(seen: Seen, wiring: Wiring) -> None:
    """Raises RefusedConcept for moments that are not those of this base's inputs, or no moments."""
    for kind, moments in (("fit", seen.fit), ("held out", seen.heldout)):
        if missing := set(wiring.readers) ^ set(moments):
            raise RefusedConcept(f"{kind}: no such input, or none recorded: {min(missing)}")
        for name, moment_II in moments.items():
            _check_moment(f"{name} ({kind})", moment_II, wiring.width(name))


def _check_adapter(
    layer: str, down_RI: Tensor, up_OR: Tensor, scale: float, wiring: Wiring
) -> None:
    if layer not in wiring.layers:
        raise RefusedConcept(f"{layer} takes no adapters in {wiring.base_name}")
    width_in, width_out = wiring.layers[layer]
    found = (*up_OR.shape, *down_RI.shape)
    if found != (width_out, len(down_RI), len(down_RI), width_in):
        raise RefusedConcept(
            f"{layer}: shapes {list(up_OR.shape)} and {list(down_RI.shape)}, "
            f"must be [{width_out}, rank] and [rank, {width_in}]"
        )
    down, up = (x.detach().cpu().float().numpy() for x in (down_RI, up_OR))
    check_values(f"{layer}.lora_A", down)
    check_values(f"{layer}.lora_B", up)
    check_update(layer, down, up, scale)


def _check_moment(name: str, moment_II: Tensor, width: int) -> None:
    if tuple(moment_II.shape) != (width, width):
        raise RefusedConcept(f"{name}: shape {list(moment_II.shape)}, must be [{width}, {width}]")
    squares = moment_II.diagonal().cpu().numpy()
    if not np.isfinite(moment_II.sum().item()):
        raise RefusedConcept("drawing with it gives NaN or infinity")
    if squares.min() < 0 or squares.mean() > MAX_MEAN_SQUARE:
        raise RefusedConcept(
            f"{name}: mean square {squares.mean():.4g}, must be between 0 and {MAX_MEAN_SQUARE:g}"
        )
