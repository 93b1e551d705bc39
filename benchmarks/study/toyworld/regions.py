"""Q3: two to four concepts in one picture, by regions and by the prompt alone."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.private_folder import person
from benchmarks.regions import reading, study
from benchmarks.regions.layouts import CHARACTERS
from benchmarks.study import tables
from benchmarks.study.bench import Bench
from benchmarks.study.tuning import file_of, folder_of, tune_all
from benchmarks.study.ways import OURS
from fedshow.files import digest
from fedshow_server.fusion.offline import fuse_to_folder

WAYS = {
    "plain": "one prompt",
    "regions": "regions, as in the paper",
    "windows": "regions with windows",
}
"""Of `benchmarks.regions`, and what the page calls them."""

Picture = reading.Picture


def measure(bench: Bench) -> dict[str, Any]:
    """Objects present, attributes bound, identity kept in boxes, leaks: by way and number of concepts."""
    work = prepare(bench)
    kinds = study.wanted(WAYS, everywhere=())
    number = bench.extent.layouts
    amount = study.Amount(number, -(-number // 2), bench.extent.drawing_steps)
    read, drawn = study.read_layouts(work, bench.workers, kinds, amount)
    alone = {name: reading.summary(found, {})["identity"] for name, found in drawn.items()}
    rows = {}
    for (way, count, variant), pictures in read.items():
        others = chain.from_iterable(read[way, other, variant] for other in study.COUNTS)
        rows[f"{way} {count}"] = _row(pictures, alone, reading.unprovoked(others))
    return {"rows": rows, "alone": alone, "layouts": bench.extent.layouts}


def prepare(bench: Bench) -> Path:
    """The folder with the release of the five characters, tuned and fused; made anew for other files."""
    tune_all(bench, [(OURS, name) for name in CHARACTERS])
    files = [file_of(OURS, name, bench.work) for name in CHARACTERS]
    work = folder_of(OURS, bench.work) / f"regions-{'-'.join(digest(f)[:4] for f in files)}"
    for name in CHARACTERS:
        person(name, work / "people")  # before workers draw them all at once
    if not (work / "fused").exists():
        method = bench.extent.release
        fuse_to_folder("toyworld", files, work / "fused", method=method, device=bench.device)
    return work


def _row(
    pictures: Sequence[Picture], alone: Mapping[str, float], rates: reading.Rates
) -> dict[str, Any]:
    return {
        "present": _over(pictures, lambda boxes: [all(box["present"] for box in boxes)]),
        "attributes": _over(pictures, _bound),
        "identity": _over(pictures, lambda boxes: [box["identity"] for box in boxes]),
        "kept": _over(pictures, lambda boxes: [b["identity"] / alone[b["concept"]] for b in boxes]),
        "nearest": _over(pictures, lambda boxes: [box["nearest"] for box in boxes]),
        "leaked": reading.summary(pictures, rates)["leaked"],
    }


def _bound(boxes: Picture) -> list[bool]:
    """Of objects that are not there, no attribute is where it belongs."""
    return [right and box["present"] for box in boxes for right in box["bound"].values()]


def _over(
    pictures: Sequence[Picture], of: Callable[[Picture], Sequence[float]]
) -> tables.Value | None:
    """Mean over pictures of what `of` finds in each; no picture counts twice."""
    found = [fmean(values) for boxes in pictures if (values := of(boxes))]
    return tables.mean(np.array(found)[:, None]) if found else None
