"""The study's figures; error bars are 95 % intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.study.tables import Value

Series = Mapping[str, Sequence[Value | None]]
"""By label, one value for each place on the axis."""

DPI = 90


def bars_each(
    path: Path,
    titles: Sequence[str],
    panels: Sequence[Series],
    places_of: Sequence[Sequence[str]],
) -> None:
    """Panels of grouped bars side by side, each with its own places, and the first one's legend."""
    figure, axes = _figure(len(panels))
    for axis, title, series, places in zip(axes, titles, panels, places_of, strict=True):
        width = 0.8 / len(series)
        for k, (label, values) in enumerate(series.items()):
            at = [place + (k - (len(series) - 1) / 2) * width for place in range(len(places))]
            known = [
                (x, v) for x, v in zip(at, values, strict=True) if v and v["value"] is not None
            ]
            axis.bar(
                [x for x, _ in known], [v["value"] for _, v in known], width * 0.92, label=label
            )
            _whiskers(axis, known)
        axis.set(title=title)
        axis.set_xticks(range(len(places)), places)
        axis.axhline(0, color="black", linewidth=0.6)
    _save(figure, axes, path)


def lines(
    path: Path, titles: Sequence[str], panels: Sequence[Series], places: Sequence[Any], xlabel: str
) -> None:
    """Panels of lines over the same places."""
    figure, axes = _figure(len(panels))
    for axis, title, series in zip(axes, titles, panels, strict=True):
        for k, (label, values) in enumerate(series.items()):
            shift = 0.06 * (k - (len(series) - 1) / 2)
            known = [(i + shift, v) for i, v in enumerate(values) if v and v["value"] is not None]
            style = "-" if k < 10 else "--"
            xs, ys = [x for x, _ in known], [v["value"] for _, v in known]
            axis.plot(xs, ys, style, marker="o", markersize=3, label=label)
            _whiskers(axis, known)
        axis.set(title=title, xlabel=xlabel)
        axis.set_xticks(range(len(places)), [str(place) for place in places])
        axis.grid(axis="y", linewidth=0.3)
    _save(figure, axes, path)


def plain(values: Sequence[float | None]) -> list[Value | None]:
    """Values without intervals."""
    return [None if v is None else {"value": v, "low": None, "high": None} for v in values]


def _whiskers(axis: Any, known: Sequence[tuple[float, Value]]) -> None:
    for x, value in known:
        low, high = value["low"], value["high"]
        if low is not None and high is not None:
            axis.plot([x, x], [low, high], color="black", linewidth=0.8)


def _figure(count: int) -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    found, axes = pyplot.subplots(1, count, figsize=(4.4 * count, 3.6), squeeze=False)
    return found, axes[0]


def _save(figure: Any, axes: Any, path: Path) -> None:
    handles, labels = axes[0].get_legend_handles_labels()
    label_inches = 0.45 + 0.065 * max(map(len, labels))
    columns = max(1, min(len(labels), 6, int(figure.get_figwidth() / label_inches)))
    rows = -(-len(labels) // columns)
    figure.legend(handles, labels, loc="lower center", ncols=columns, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.06 * rows, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
    from matplotlib import pyplot

    pyplot.close(figure)
