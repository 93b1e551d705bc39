"""What the statistics alone say about a fusion, layer by layer and concept by concept.

Shapes: O out, I in, R rank of one adapter, N rank of the fused update.
"""

from collections.abc import Mapping

from torch import Tensor

from fedshow_server.fusion.rules.gradient import Choice, Eigenbasis, best_choice
from fedshow_server.fusion.sums import Layer, Part, energy
from fedshow_server.fusion.update import Update


def layer_report(layer: Layer, update: Update) -> dict[str, object]:
    """Relative residuals, crosstalk and drift of one layer; 0 is perfect, 1 means as if it were absent."""
    residuals, unseen = [], []
    for part in layer.parts():
        assert part.fit_II is not None
        assert part.heldout_II is not None
        residuals.append(residual(update, part, part.fit_II))
        unseen.append(residual(update, part, part.heldout_II))
    drift = _energy(update, layer.reads.generic_heldout_II)
    return {
        "residual": residuals,
        "residual_heldout": unseen,
        "crosstalk": crosstalk(layer, choice_of(update.settings) or best_choice(layer)),
        "drift": _ratio(drift, 0.0 if layer.is_idle else layer.typical),
        "rank": update.rank,
        **update.settings,
    }


def residual(update: Update, part: Part, moment_II: Tensor) -> float:
    """E|(delta - delta_i) x|² over E|delta_i x|²."""
    seen_RI = part.down_RI @ moment_II
    signal = float(((part.up_OR.T @ part.up_OR) * (seen_RI @ part.down_RI.T)).sum())
    met = float(((part.up_OR.T @ update.delta_OI) * seen_RI).sum())
    return _ratio(max(0.0, _energy(update, moment_II) - 2 * met + signal), signal)


def choice_of(settings: Mapping[str, float | str]) -> Choice | None:
    """The regularisation under which an update was made; None for rules that choose none."""
    names = ("guard", "ridge", "toward_mean")
    if not settings.keys() >= set(names):
        return None
    return Choice(*(float(settings[name]) for name in names))


def crosstalk(layer: Layer, choice: Choice) -> list[list[float]]:
    """Row i, column j: how strongly concept j's share of the exact optimum acts on concept i's inputs.

    It belongs to the concepts, not to the rule that fuses them.
    """
    if layer.is_idle:
        return [[0.0] * layer.reads.concepts] * layer.reads.concepts
    basis = Eigenbasis(layer, choice.guard)
    shares = [basis.share(part, choice.ridge, choice.toward_mean) for part in layer.parts()]
    return [[_act(share, part) for share in shares] for part in layer.parts()]


def _act(share: Part, on: Part) -> float:
    assert on.heldout_II is not None
    return _ratio(*(_low_rank(p.up_OR, p.down_RI, on.heldout_II) for p in (share, on)))


def _energy(update: Update, moment_II: Tensor) -> float:
    if update.down_NI is None:
        return energy(update.delta_OI, moment_II)
    return _low_rank(update.up_ON, update.down_NI, moment_II)


def _low_rank(up_OR: Tensor, down_RI: Tensor, moment_II: Tensor) -> float:
    """Mean of |up @ down @ x|² over inputs with this moment."""
    return float(((up_OR.T @ up_OR) * (down_RI @ moment_II @ down_RI.T)).sum())


def _ratio(value: float, reference: float) -> float:
    return round(value / reference, 6) if reference else 0.0
