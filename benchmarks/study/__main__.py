"""`make study`: the claims of Mix-of-Show repeated on toyworld: five questions, each with table and figure.

Raw results lie in the work folder; what is there is not measured again, so that it may be stopped at any
time. `--part` measures some of it and writes it beside them; `study.json` and the page are written when all
five are answered.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.report import print_table, write_result
from benchmarks.study.bench import Bench, start_worker
from benchmarks.study.concepts import CONCEPTS, draw_folder
from benchmarks.study.extents import FULL, TINY
from benchmarks.study.eye import measure_eyes
from benchmarks.study.legible import legible
from benchmarks.study.pages.page import write_page
from benchmarks.study.questions import failures, fusion, methods, parts, regions
from fedshow.device import choose_device

WORK = Path("build/bench-study")
QUESTIONS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "methods": methods.measure,
    "fusion": fusion.measure,
    "parts": parts.measure,
    "regions": regions.measure,
    "failures": failures.measure,
}
"""The most wanted first."""

GATES = {"kept_ed_lora_gradient": 0.97, "order_holds": 1.0, "questions": 5}
LIMITS = {"kept_ed_lora_average": 0.93}


def main() -> None:
    """Measures what the work folder lacks; writes `study.json` and `docs/study.md` when nothing does."""
    args = _arguments()
    work, extent = (args.work / "tiny", TINY) if args.tiny else (args.work, FULL)
    bench = Bench(work, choose_device(args.device), args.workers, extent)
    answer(bench, [args.part] if args.part else list(QUESTIONS))
    found = answered(bench)
    figures = figures_of(found)
    print_table(figures, GATES, LIMITS)
    write_result("study", figures, bench.work)
    if extent is FULL and figures["questions"] == len(QUESTIONS):
        write_result("study", figures)
        write_page(bench, figures)


def answer(bench: Bench, questions: list[str]) -> None:
    """Measures some questions, each into its file as soon as it is answered."""
    start_worker()
    bench.work.mkdir(parents=True, exist_ok=True)
    for name in bench.extent.names:
        draw_folder(CONCEPTS[name], bench.work / "people")
    eyes = measure_eyes(bench.work, bench.extent.names, *bench.extent.eye)
    keep(bench, "eye", {**eyes, "legible": legible(bench.extent.names, bench.work)})
    for question in questions:
        keep(bench, question, QUESTIONS[question](bench))


def keep(bench: Bench, name: str, found: dict[str, Any]) -> None:
    """Writes what was found."""
    (bench.work / f"{name}.json").write_text(json.dumps(found, indent=1))


def answered(bench: Bench) -> dict[str, Any]:
    """What was found so far, by question, and of the encoders."""
    paths = {name: bench.work / f"{name}.json" for name in ("eye", *QUESTIONS)}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.is_file()}


def figures_of(found: dict[str, Any]) -> dict[str, Any]:
    """The figures of `study.json`."""
    main_figures = fusion.figures(found["fusion"]) if "fusion" in found else {}
    return main_figures | {"questions": len(found) - ("eye" in found)} | found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK, help="raw results, kept between runs")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--part", choices=tuple(QUESTIONS), help="measure only this")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--tiny", action="store_true", help="a slice, to see that it runs; no page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
