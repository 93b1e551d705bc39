"""Curves of the fusion benchmark as pictures for the documentation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import IMAGES


def plot_growth(
    additions: Mapping[str, Sequence[float]], solver: Sequence[float], folder: Path = IMAGES
) -> None:
    """Seconds and memory of every addition, and of the solver alone up to a thousand concepts."""
    figure, axes = _figure(3)
    drawn: Sequence[tuple[str, Sequence[float]]] = (
        ("seconds of an addition", additions["seconds"]),
        ("resident memory, megabytes", additions["megabytes"]),
        ("milliseconds, one layer by the solver alone", [1000 * s for s in solver]),
    )
    for axis, (title, values) in zip(axes, drawn, strict=True):
        axis.plot(range(1, len(values) + 1), values, linewidth=1)
        axis.set(title=title, xlabel="concepts", ylim=(0, 1.3 * max(values)))
    _save(figure, folder / "fusion-growth.png")


def plot_curve(points: Sequence[Mapping[str, float]], folder: Path = IMAGES) -> None:
    """Held-out residual and identity over what was recorded."""
    figure, axes = _figure(2)
    names = [f"{p['prompts']:g} x {p['seeds']:g} x {p['steps']:g}" for p in points]
    titles = {"heldout": "held-out residual", "identity": "identity"}
    for axis, (key, title) in zip(axes, titles.items(), strict=True):
        axis.plot(names, [p[key] for p in points], marker="o", linewidth=1)
        axis.set(title=title, xlabel="prompts x seeds x steps")
        axis.tick_params(axis="x", rotation=45)
    _save(figure, folder / "fusion-curve.png")


def _figure(count: int) -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    return pyplot.subplots(1, count, figsize=(4.2 * count, 3.2), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
