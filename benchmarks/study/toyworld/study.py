"""The study that `make study` runs where nobody names pictures: five questions about toyworld."""

from pathlib import Path
from typing import Any

from benchmarks.study.bench import Bench
from benchmarks.study.questions import fusion, methods, parts
from benchmarks.study.study import Study
from benchmarks.study.toyworld import failures, regions
from benchmarks.study.toyworld.extents import FULL, LEARNS, TINY, TINY_LEARNS
from benchmarks.study.toyworld.eye import measure_eyes
from benchmarks.study.toyworld.legible import legible
from benchmarks.study.toyworld.material import Toyworld
from benchmarks.study.toyworld.page.page import write_page

QUESTIONS = {
    "methods": methods.measure,
    "fusion": fusion.measure,
    "parts": parts.measure,
    "regions": regions.measure,
    "failures": failures.measure,
}


def of_toyworld(work: Path, device: str, workers: int, tiny: bool = False) -> Study:
    """All of it, or a slice that shows that every line of it runs."""
    extent, learns = (TINY, TINY_LEARNS) if tiny else (FULL, LEARNS)

    def prepare(bench: Bench) -> dict[str, Any]:
        for name in extent.names:
            bench.material.images(name)
        eyes = measure_eyes(work, extent.names, *learns)
        return {**eyes, "legible": legible(extent.names, work)}

    bench = Bench(work, device, workers, extent, Toyworld(work))
    return Study(bench, prepare, QUESTIONS, write_page)
