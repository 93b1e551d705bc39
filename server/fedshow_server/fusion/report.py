"""What the statistics alone say about a fusion, before anybody draws: layer by layer, concept by concept."""

from collections.abc import Mapping

from torch import Tensor

from fedshow_server.fusion.crosstalk import crosstalk, ratio
from fedshow_server.fusion.rules.gradient import Choice
from fedshow_server.fusion.sums import Layer, Part, energy, low_rank_energy
from fedshow_server.fusion.update import Update

MOST_CROSSTALK = 32
"""Concepts beyond which nobody reads a table of all pairs, whose cost grows with their square."""


def layer_report(layer: Layer, update: Update, shows: bool = True) -> dict[str, object]:
    """Relative residuals, crosstalk and drift of one layer; 0 is perfect, 1 means as if it were absent.

    `missed` is relative to what concepts do here on average, residuals are to what each does itself; `shows`:
    whether pictures show what a concept misses here. Queries are judged by the keys that they meet.
    """
    if layer.turned is not None:
        return layer_report(layer.turned, update.turned, shows)
    residuals, unseen, missed = [], [], []
    typical = 0.0 if layer.is_idle else layer.typical
    for part in layer.parts():
        assert part.fit_II is not None
        assert part.heldout_II is not None
        residuals.append(residual(update, part, part.fit_II))
        unseen.append(residual(update, part, part.heldout_II))
        missed.append(ratio(_missed(update, part, part.heldout_II), typical))
    drift = _energy(update, layer.reads.generic_heldout_II)
    found: dict[str, object] = {
        "residual": residuals,
        "residual_heldout": unseen,
        "missed": missed,
        "shows": shows,
        "drift": ratio(drift, typical),
        "rank": update.rank,
        **update.settings,
    }
    if len(residuals) <= MOST_CROSSTALK:
        found["crosstalk"] = crosstalk(layer, _choice_of(update.settings))
    return found


def residual(update: Update, part: Part, moment_II: Tensor) -> float:
    """E|(delta - delta_i) x|² over E|delta_i x|²."""
    wanted = low_rank_energy(part.up_OR, part.down_RI, moment_II)
    return ratio(_missed(update, part, moment_II), wanted)


def _missed(update: Update, part: Part, moment_II: Tensor) -> float:
    """E|(delta - delta_i) x|²"""
    seen_RI = part.down_RI @ moment_II
    wanted = low_rank_energy(part.up_OR, part.down_RI, moment_II)
    met = float(((part.up_OR.T @ update.delta_OI) * seen_RI).sum())
    return max(0.0, _energy(update, moment_II) - 2 * met + wanted)


def _choice_of(settings: Mapping[str, float | str]) -> Choice | None:
    """The regularisation under which an update was made; None for rules that choose none."""
    names = ("guard", "ridge", "toward_mean")
    if not settings.keys() >= set(names):
        return None
    return Choice(*(float(settings[name]) for name in names))


def _energy(update: Update, moment_II: Tensor) -> float:
    if update.down_NI is None:
        return energy(update.delta_OI, moment_II)
    return low_rank_energy(update.up_ON, update.down_NI, moment_II)
