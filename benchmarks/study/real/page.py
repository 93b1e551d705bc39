"""Writes `study.md` with its pictures into the work folder, from what was measured on somebody's pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.study.bench import Bench
from benchmarks.study.drawing import fused_model
from benchmarks.study.pages import asked, charts, sections, sheets
from benchmarks.study.pages.cells import number, share, table
from benchmarks.study.pages.lost import lost
from benchmarks.study.questions.experiments import RULE
from benchmarks.study.questions.fusion import worst
from benchmarks.study.real import regions
from benchmarks.study.real.template import NO_REGIONS, PAGE, REGIONS
from benchmarks.study.ways import OURS
from fedshow.sampling.grid import Row, grid

CELL, LARGE = 160, 320
"""Edge of a picture in a sheet, and of a wide one, in pixels."""

SHOWN = {"all_right": "each in its box", "identity": "identity in the box", "kept": "kept"}


def write_page(bench: Bench, figures: Mapping[str, Any]) -> Path:
    """The page with all its pictures; returns its path."""
    images = bench.work / "images"
    charts.methods(figures["methods"]["methods"], images / "methods.png")
    charts.fusion(figures["fusion"]["rows"], images / "fusion.png")
    charts.parts(figures["parts"]["parts"], images / "parts.png")
    _save(sheets.methods(bench), images / "methods-pictures.png")
    _save(sheets.fusions(bench), images / "fusion-pictures.png")
    _save(sheets.parts(bench), images / "parts-pictures.png")
    _save(sheets.worst(bench, figures["fusion"]["raw"]), images / "losers.png")
    if rows := figures["regions"]["rows"]:
        labels = {way: label for way, (label, _) in regions.WAYS.items()}
        charts.regions(rows, SHOWN, labels, images / "regions.png")
        _save(_regions(bench), images / "regions-pictures.png", LARGE)
    path = bench.work / "study.md"
    path.write_text(text(bench, figures))
    return path


def text(bench: Bench, figures: Mapping[str, Any]) -> str:
    """The page."""
    extent, material, judges = bench.extent, bench.material, figures["eye"]
    return PAGE.format(
        base=material.base,
        concepts=_concepts(bench),
        names=len(extent.names),
        subset=len(extent.subset),
        prompts=extent.prompts,
        each=extent.each,
        steps=extent.drawing_steps,
        identity=judges["identity"],
        text=judges["text"],
        judges=_judges(judges),
        rivals=_rivals(bench),
        asked_examples=asked.of_examples(bench),
        asked_fusions=asked.of_fusions(bench),
        methods=sections.methods(figures["methods"]),
        fusion=sections.fusion(figures["fusion"]),
        lost_of=figures["fusion"]["lost"]["size"],
        lost=lost(figures["fusion"]["lost"]),
        regions=_said_of_regions(bench, figures["regions"]),
        parts=sections.parts(figures["parts"]),
        losers=sections.losers(worst(figures["fusion"]["raw"])),
    )


def _concepts(bench: Bench) -> str:
    material = bench.material
    rows = [
        [group, ", ".join(n for n in bench.extent.names if material.concepts[n].group == group)]
        for group in dict.fromkeys(c.group for c in material.concepts.values())
    ]
    return table(["group", "concepts"], rows)


def _rivals(bench: Bench) -> str:
    rivals = sorted(bench.material.rivals)
    return f"of one class: {', '.join(rivals)}" if rivals else "no two are of one class"


def _judges(found: Mapping[str, Any]) -> str:
    return (
        f"nearest to their own: {share(found['top1'])}; cosine to their own {share(found['own'])}, "
        f"to the nearest other {share(found['other'])}"
    )


def _said_of_regions(bench: Bench, found: Mapping[str, Any]) -> str:
    if not found["rows"]:
        return NO_REGIONS
    head = ["way", "concepts", "each in its box", "boxes nearest to their own"]
    rows = [
        [
            regions.WAYS[key.split()[0]][0],
            key.split()[1],
            *(number(row[name]) for name in ("all_right", "nearest", "identity", "kept")),
        ]
        for key, row in found["rows"].items()
    ]
    return REGIONS.format(
        layouts=found["layouts"],
        table=table([*head, "identity in the box", "kept"], rows),
        asked=asked.said(layout.prompt for layout in _shown(bench)),
    )


def _shown(bench: Bench) -> Sequence[regions.Layout]:
    """The first layout of each number of concepts."""
    members = regions.cast_of(bench)
    return [regions.layouts(members, count, 1)[0] for count in regions.counts_of(bench)]


def _regions(bench: Bench) -> list[Row]:
    """The same layouts in every way."""
    shown = _shown(bench)
    with fused_model(bench, OURS, RULE, regions.cast_of(bench)) as model:
        return [
            (label.replace(", ", ",\n"), [regions.draw(bench, model, one, way) for one in shown])
            for way, (label, _) in regions.WAYS.items()
        ]


def _save(rows: Sequence[Row], path: Path, cell: int = CELL) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    grid(rows, cell).save(path)
