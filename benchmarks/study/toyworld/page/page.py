"""Writes `docs/study.md`, its plots and its sheets of pictures, from what was measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import IMAGES
from benchmarks.study.bench import Bench
from benchmarks.study.pages import asked, charts, plots, sections, sheets
from benchmarks.study.pages.lost import lost
from benchmarks.study.questions.fusion import worst
from benchmarks.study.toyworld import regions
from benchmarks.study.toyworld.page import asked as own_asked
from benchmarks.study.toyworld.page import sections as own_sections
from benchmarks.study.toyworld.page import sheets as own_sheets
from benchmarks.study.toyworld.page.template import PAGE

DOCS = IMAGES.parent
REGIONS = {"present": "all present", "attributes": "attributes bound", "kept": "identity kept"}


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
        asked_regions=own_asked.of_regions(),
        asked_failures=own_asked.of_failures(bench),
        encoders=own_sections.encoders(figures["eye"]),
        methods=sections.methods(figures["methods"]),
        fusion=sections.fusion(figures["fusion"]),
        lost_of=figures["fusion"]["lost"]["size"],
        lost=lost(figures["fusion"]["lost"]),
        regions=own_sections.regions(figures["regions"], regions.WAYS),
        parts=sections.parts(figures["parts"]),
        failures=own_sections.failures(
            figures["failures"]["cases"], worst(figures["fusion"]["raw"])
        ),
    )


def draw_plots(figures: Mapping[str, Any], images: Path) -> None:
    """`study-*.png` of every question."""
    charts.methods(figures["methods"]["methods"], images / "study-methods.png")
    charts.fusion(figures["fusion"]["rows"], images / "study-fusion.png")
    charts.regions(figures["regions"]["rows"], REGIONS, regions.WAYS, images / "study-regions.png")
    charts.parts(figures["parts"]["parts"], images / "study-parts.png")
    _plot_failures(figures["failures"]["cases"], images / "study-failures.png")


def draw_sheets(bench: Bench, figures: Mapping[str, Any], images: Path) -> None:
    """`study-*-pictures.png` of every question."""
    failed, raw = figures["failures"], figures["fusion"]["raw"]
    rows = {
        "methods": sheets.methods(bench),
        "fusion": sheets.fusions(bench),
        "regions": own_sheets.regions(bench),
        "parts": sheets.parts(bench),
        "failures": [*own_sheets.failures(bench, failed), *sheets.worst(bench, raw)],
    }
    for name, found in rows.items():
        cell = own_sheets.LARGE if name == "regions" else own_sheets.SMALL
        own_sheets.save(found, images / f"study-{name}-pictures.png", cell)


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
