"""What an adapter does where nobody asked for it: to prompts that do not name its concept.

Of every layer's input on such prompts the ledger has the second moment G0 of the bare base, so that what the
adapter alone changes there is known without drawing: E|delta x|² against E|W x|² of the layer itself.
Fourteen tuned toyworld concepts, the layers' mean and their largest: 0.004 to 0.043, and 0.04 to 0.84.

Shapes: O out, I in, R rank.
"""

from collections.abc import Callable

from torch import Tensor

from fedshow.families import Base
from fedshow_server.fusion.statistics import Statistics
from fedshow_server.fusion.sums import energy, low_rank_energy
from fedshow_server.fusion.unfusable import OddConcept

MAX_MEAN = 0.25
"""Over layers: half as much as they give themselves, in amplitude."""
MAX_LAYER = 4.0
"""Of one layer: twice as much as it gives itself, in amplitude."""

MomentOf = Callable[[str], Tensor]
"""Input name to what the base reads there on prompts without a concept, `[I, I]`."""


def check_behaviour(statistics: Statistics, base: Base, generic: MomentOf) -> None:
    """Raises OddConcept when unrelated prompts would be drawn differently with this adapter alone."""
    shares = unasked_changes(statistics, base, generic)
    if not shares:
        return  # words alone: who does not say them draws as before
    worst = max(shares, key=lambda layer: shares[layer])
    mean = sum(shares.values()) / len(shares)
    for what, share, limit in (
        ("its layers", mean, MAX_MEAN),
        (f"layer {worst}", shares[worst], MAX_LAYER),
    ):
        if share > limit:
            raise OddConcept(
                statistics.name,
                f"it changes prompts that do not name it: {share:.3g} of what {what} give there, "
                f"limit {limit:g}",
            )


def unasked_changes(statistics: Statistics, base: Base, generic: MomentOf) -> dict[str, float]:
    """By layer: energy that the adapter adds on unrelated prompts, over that of the layer's own output."""
    found = {}
    for layer, (down_RI, up_OR) in statistics.adapters.items():
        moment_II = generic(base.family.input_of(layer)).double()
        own = energy(base.layers[layer].weight.detach().double().cpu(), moment_II)
        added = low_rank_energy(up_OR.double(), down_RI.double(), moment_II)
        found[layer] = statistics.scale**2 * added / own
    return found
