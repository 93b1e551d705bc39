"""What the statistics alone say about a fusion, layer by layer and concept by concept."""

from collections.abc import Sequence

from fedshow_server.fusion.layer import Inputs, Part, Update, energy, residuals


def layer_report(parts: Sequence[Part], inputs: Inputs, update: Update) -> dict[str, object]:
    """Relative residuals, crosstalk and drift of one layer; 0 is perfect, 1 means as if it were absent."""
    fit, fit_signals = residuals(parts, update.down_NI, inputs.fit)
    unseen, signals = residuals(parts, update.down_NI, inputs.heldout)
    typical = sum(signals) / len(signals)
    drift = energy(update.up_ON, update.down_NI, inputs.generic_heldout)
    return {
        "residual": [_ratio(e, s) for e, s in zip(fit, fit_signals, strict=True)],
        "residual_heldout": [_ratio(e, s) for e, s in zip(unseen, signals, strict=True)],
        "crosstalk": _crosstalk(parts, inputs, update, signals),
        "drift": _ratio(drift, typical),
        **update.settings,
    }


def _crosstalk(
    parts: Sequence[Part], inputs: Inputs, update: Update, signals: Sequence[float]
) -> list[list[float]]:
    """Row i, column j: how strongly concept j's share of the update acts on concept i's inputs."""
    blocks, start = [], 0
    for part in parts:
        own = slice(start, start := start + len(part.down_RI))
        blocks.append((update.up_ON[:, own], update.down_NI[own]))
    return [
        [_ratio(energy(up, down, moment), signal) for up, down in blocks]
        for moment, signal in zip(inputs.heldout, signals, strict=True)
    ]


def _ratio(value: float, reference: float) -> float:
    return round(value / reference, 6) if reference else 0.0
