"""Writes `docs/study.md`, its plots and its sheets of pictures, from what was measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import IMAGES
from benchmarks.study.bench import Bench
from benchmarks.study.pages import asked, plots, sections, sheets
from benchmarks.study.pages.lost import lost
from benchmarks.study.pages.template import PAGE
from benchmarks.study.questions import failures, regions
from benchmarks.study.ways import OURS

DOCS = IMAGES.parent


def write_page(bench: Bench, figures: Mapping[str, Any], docs: Path = DOCS) -> Path:
    """The page with all its pictures; returns its path."""
    draw_plots(figures, docs / "images")
    draw_sheets(bench, figures, docs / "images")
    path = docs / "study.md"
    path.write_text(text(bench, figures))
    return path


def text(bench: Bench, figures: Mapping[str, Any]) -> str:
    """The page."""
    extent = bench.extent
    return PAGE.format(
        concepts=len(extent.names),
        subset=len(extent.subset),
        prompts=extent.prompts,
        layouts=extent.layouts,
        asked_examples=asked.of_examples(bench),
        asked_fusions=asked.of_fusions(bench),
        asked_regions=asked.of_regions(),
        asked_failures=asked.of_failures(bench),
        encoders=sections.encoders(figures["eye"]),
        methods=sections.methods(figures["methods"]),
        fusion=sections.fusion(figures["fusion"]),
        lost_of=figures["fusion"]["lost"]["size"],
        lost=lost(figures["fusion"]["lost"]),
        regions=sections.regions(figures["regions"], regions.WAYS),
        parts=sections.parts(figures["parts"]),
        failures=sections.failures(
            figures["failures"]["cases"], failures.worst(figures["fusion"]["raw"])
        ),
    )


def draw_plots(figures: Mapping[str, Any], images: Path) -> None:
    """`study-*.png` of every question."""
    _plot_methods(figures["methods"]["methods"], images / "study-methods.png")
    _plot_fusion(figures["fusion"]["rows"], images / "study-fusion.png")
    _plot_regions(figures["regions"]["rows"], images / "study-regions.png")
    _plot_parts(figures["parts"]["parts"], images / "study-parts.png")
    _plot_failures(figures["failures"]["cases"], images / "study-failures.png")


def draw_sheets(bench: Bench, figures: Mapping[str, Any], images: Path) -> None:
    """`study-*-pictures.png` of every question."""
    sheets.draw_methods(bench, images / "study-methods-pictures.png")
    sheets.draw_fusions(bench, images / "study-fusion-pictures.png")
    sheets.draw_regions(bench, images / "study-regions-pictures.png")
    sheets.draw_parts(bench, images / "study-parts-pictures.png")
    sheets.draw_failures(
        bench,
        figures["failures"],
        figures["fusion"]["raw"],
        images / "study-failures-pictures.png",
    )


def _plot_methods(rows: Mapping[str, Any], path: Path) -> None:
    groups = list(rows[OURS]["groups"])
    panels = [
        {way: [row["identity"], row["embedding_alone"]] for way, row in rows.items()},
        {way: [row["groups"][g]["text"] for g in groups] for way, row in rows.items()},
    ]
    plots.bars_each(
        path,
        ["identity", "text alignment"],
        panels,
        [["adapters and embedding", "embedding alone"], groups],
    )


def _plot_fusion(rows: Mapping[str, Any], path: Path) -> None:
    sizes = list(next(iter(rows.values()))["sizes"])
    panels = [
        {name: [row["sizes"][n][key] for n in sizes] for name, row in rows.items()}
        for key in ("kept", "text")
    ]
    drift = {n: plots.plain([r["sizes"][s]["drift"] for s in sizes]) for n, r in rows.items()}
    titles = ["identity kept", "text alignment", "drift of the base"]
    plots.lines(path, titles, [*panels, drift], sizes, "concepts")


def _plot_regions(rows: Mapping[str, Any], path: Path) -> None:
    counts = list(dict.fromkeys(key.split()[1] for key in rows))
    names = {"present": "all present", "attributes": "attributes bound", "kept": "identity kept"}
    panels = [
        {label: [rows[f"{way} {n}"][key] for n in counts] for way, label in regions.WAYS.items()}
        for key in names
    ]
    plots.bars_each(path, list(names.values()), panels, [[f"{n} concepts" for n in counts]] * 3)


def _plot_parts(rows: Mapping[str, Any], path: Path) -> None:
    values = {
        "whole" if way == OURS else f"without {sections.LABELS[way]}": [
            row["identity"],
            row["embedding_alone"],
            row["fused"]["gradient"],
            row["fused"]["average"],
        ]
        for way, row in rows.items()
    }
    places = ["by itself", "embedding\nalone", "gradient\nfusion", "averaged"]
    plots.bars_each(path, ["identity"], [values], [places])


def _plot_failures(cases: Mapping[str, Any], path: Path) -> None:
    small, overlap = cases["small boxes"], cases["overlap"]
    pairs = {
        f"{kind[5:]}, {way}": plots.plain([row["right"], row["exchanged"], row["one twice"]])
        for kind, ways in cases.items()
        if kind.startswith("pair ")
        for way, row in ways.items()
    }
    plots.bars_each(
        path,
        ["two in one picture", "identity by edge of the box", "identity by columns shared"],
        [
            pairs,
            {"identity": plots.plain(list(small.values()))},
            {"identity": plots.plain(list(overlap.values()))},
        ],
        [["right", "exchanged", "one twice"], list(small), list(overlap)],
    )
