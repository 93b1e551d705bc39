"""The figures of the questions that every study asks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.study.pages.plots import bars_each, lines, plain
from benchmarks.study.pages.sections import LABELS
from benchmarks.study.ways import OURS


def methods(rows: Mapping[str, Any], path: Path) -> None:
    """Identity and text alignment by method."""
    groups = list(rows[OURS]["groups"])
    panels = [
        {way: [row["identity"], row["embedding_alone"]] for way, row in rows.items()},
        {way: [row["groups"][g]["text"] for g in groups] for way, row in rows.items()},
    ]
    bars_each(
        path,
        ["identity", "text alignment"],
        panels,
        [["adapters and embedding", "embedding alone"], groups],
    )


def fusion(rows: Mapping[str, Any], path: Path) -> None:
    """What is kept by number of concepts, text alignment, drift."""
    sizes = list(next(iter(rows.values()))["sizes"])
    panels = [
        {name: [row["sizes"][n][key] for n in sizes] for name, row in rows.items()}
        for key in ("kept", "text")
    ]
    drift = {n: plain([r["sizes"][s]["drift"] for s in sizes]) for n, r in rows.items()}
    titles = ["identity kept", "text alignment", "drift of the base"]
    lines(path, titles, [*panels, drift], sizes, "concepts")


def parts(rows: Mapping[str, Any], path: Path) -> None:
    """Identity with and without each part of ED-LoRA."""
    values = {
        "whole" if way == OURS else f"without {LABELS[way]}": [
            row["identity"],
            row["embedding_alone"],
            row["fused"]["gradient"],
            row["fused"]["average"],
        ]
        for way, row in rows.items()
    }
    places = ["by itself", "embedding\nalone", "gradient\nfusion", "averaged"]
    bars_each(path, ["identity"], [values], [places])


def regions(
    rows: Mapping[str, Any], names: Mapping[str, str], labels: Mapping[str, str], path: Path
) -> None:
    """These figures, by what they are called, for every way to draw and number of concepts."""
    counts = list(dict.fromkeys(key.split()[1] for key in rows))
    panels = [
        {label: [rows[f"{way} {n}"][key] for n in counts] for way, label in labels.items()}
        for key in names
    ]
    places = [[f"{n} concepts" for n in counts]] * len(panels)
    bars_each(path, list(names.values()), panels, places)
