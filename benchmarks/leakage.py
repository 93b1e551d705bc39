"""`make bench-leakage`: does the leakage estimate tell a taught subject from copied pictures?

Four concepts for each of two held-out characters: untrained, tuned normally, and overfitted in two
degrees. Each is measured against its own private pictures and against other pictures of the same
character that nobody tuned on: what is found there cannot be memory, only likeness of the subject and
of a small world's few places.
"""

import argparse
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.report import print_table, write_result
from fedshow.concepts import ConceptFile, read_concept
from fedshow.demo.folders import Person, draw_images
from fedshow.families import open_base
from fedshow.sampling.model import Model
from fedshow_client.tuning.data.captions import Captions
from fedshow_client.tuning.data.folder import scan
from fedshow_client.tuning.data.latents import encode_all
from fedshow_client.tuning.leakage.estimate import estimate
from fedshow_client.tuning.leakage.verdict import Leakage
from fedshow_client.tuning.objective import Objective
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.trainer import Subject
from fedshow_client.tuning.tune import TuneRequest, tune
from fedshow_client.tuning.watching.settings import WatchSettings

CHARACTERS = ("gloop", "mochi")
SEEDS = (0, 1, 2)
"""Of the estimate: other samples, other noise."""

BARE: dict[str, Any] = {"variants": 1, "flip": False, "zoom": 1.0}
"""Every picture as it is, always the same crop."""


@dataclass(frozen=True)
class Case:
    """One way to tune."""

    pictures: int = 8
    described: bool = True
    """With captions and masks; without, all captions are equal and the background counts."""

    recipe: dict[str, Any] = field(default_factory=dict)


HARD = {"rank": 32, "alpha": 32.0, "lr_unet": 5e-3, "lr_self_attention": 5e-3, "lr_text": 5e-4}
CASES = {
    "untrained": Case(recipe={"steps": 1}),
    "normal": Case(),
    "overfitted": Case(described=False, recipe={"steps": 400, **HARD, **BARE}),
    "by_heart": Case(pictures=4, described=False, recipe={"steps": 600, **HARD, **BARE}),
}
PAIRS = [(character, case) for character in CHARACTERS for case in CASES]


def main() -> None:
    """Tunes, measures, prints and writes `results/leakage.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("bench-leakage"))
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        rows = list(pool.map(measure, *zip(*((options.work, *p) for p in PAIRS), strict=True)))
    figures = {
        **{f"{case}_{kind}": summary for case in CASES for kind, summary in _of(rows, case)},
        "share_of_tuning": max(_share(row) for row in rows if row["case"] == "normal"),
        "rows": rows,
    }
    print_table(figures)
    write_result("leakage", figures)


def _of(rows: list[dict[str, Any]], case: str) -> list[tuple[str, Any]]:
    mine = [row for row in rows if row["case"] == case]
    own = [value for row in mine for value in row["own"]]
    other = [value for row in mine for value in row["other"]]
    return [
        ("own", fmean(own)),
        ("own_range", [min(own), max(own)]),
        ("other", fmean(other)),
        ("other_range", [min(other), max(other)]),
    ]


def _share(row: dict[str, Any]) -> float:
    """What the estimate costs, in processor time, relative to tuning."""
    return float(row["estimate_seconds"] / row["tune_seconds"])


def measure(work: Path, character: str, case: str) -> dict[str, Any]:
    """One concept, tuned unless its file is there, and its leakage."""
    folder, declared = work / f"{character}-{case}", CASES[case]
    own = _pictures(folder / "own", character, declared, seed=1)
    other = _pictures(folder / "other", character, declared, seed=77)
    concept, tuned = _taught(folder, own, declared.recipe)
    began = time.process_time()
    found = [leakage_of(concept, own, declared.recipe, seed) for seed in SEEDS]
    seconds = (time.process_time() - began) / len(SEEDS)
    strange = [leakage_of(concept, other, declared.recipe, seed) for seed in SEEDS]
    print(character, case, found[0], "| other pictures:", strange[0], flush=True)
    return {
        "character": character,
        "case": case,
        "own": [leakage.value for leakage in found],
        "copied": [leakage.copied for leakage in found],
        "known": [leakage.known for leakage in found],
        "copies": [leakage.copies for leakage in found],
        "other": [leakage.value for leakage in strange],
        "other_known": [leakage.known for leakage in strange],
        "tune_seconds": tuned,
        "estimate_seconds": seconds,
    }


def _taught(folder: Path, person: Person, recipe: Mapping[str, Any]) -> tuple[ConceptFile, float]:
    """The concept, tuned unless it is there from last time, and the processor seconds it took."""
    out, seconds = folder / "concept.safetensors", folder / "seconds"
    if not seconds.exists():
        began = time.process_time()
        request = TuneRequest(
            images=person.images,
            name=person.concept,
            class_word=person.class_word,
            out=out,
            work=folder / "work",
            recipe=dict(recipe),
            watch=WatchSettings(samples=False),
            leakage=False,
        )
        tune(request)
        seconds.write_text(str(time.process_time() - began))
    return read_concept(out), float(seconds.read_text())


def _pictures(folder: Path, character: str, case: Case, seed: int) -> Person:
    """A private folder, stripped of what the case does without."""
    person = Person("bench", character, folder)
    shutil.rmtree(person.images, ignore_errors=True)
    draw_images(person, seed)
    for number, path in enumerate(sorted(person.images.glob("*.txt"))):
        described = [path, path.with_suffix(".mask.png")]
        if number >= case.pictures:
            path.with_suffix(".png").unlink()
        if number >= case.pictures or not case.described:
            for file in described:
                file.unlink()
    return person


def leakage_of(
    concept: ConceptFile, person: Person, recipe: Mapping[str, Any], seed: int
) -> Leakage:
    """The estimate for a finished concept file."""
    base = open_base("toyworld")
    images = scan(person.images).accepted
    settings = Recipe.for_base(base, concept.header.method, **recipe)
    captions = Captions(person.concept, person.class_word, [image.caption for image in images])
    latents = encode_all(base, images, settings, settings.seed)
    subject = Subject(person.concept, person.class_word, captions, latents)
    objective = Objective(base.pipeline.scheduler, settings, base.device)
    model = Model(base)
    model.add_concept(concept)
    return estimate(model, subject, objective, seed)


if __name__ == "__main__":
    main()
