"""Concept files of every way to teach, each tuned once."""

import gc
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.fusing.concepts import concept_path
from benchmarks.study.bench import Bench, Task
from benchmarks.study.ways import WAYS, Way
from fedshow import __version__
from fedshow.concepts import ConceptFile, ConceptHeader, read_concept, write_concept
from fedshow.families import open_base
from fedshow.files import digest
from fedshow_client.tuning.checkpoint import Progress
from fedshow_client.tuning.data.folder import fingerprint, scan
from fedshow_client.tuning.preparing import Lesson, prepare
from fedshow_client.tuning.trainer import Trainer

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
"""What all files say, so that the same tuning gives the same bytes."""

Pair = tuple[str, str]
"""Way and concept."""


def folder_of(way: str, work: Path) -> Path:
    """Everything of one way: its concept files, what fusions record of them, fused updates."""
    return work / way


def file_of(way: str, name: str, work: Path) -> Path:
    """Where the tuned concept lies."""
    return concept_path(name, folder_of(way, work))


def concept_of(bench: Bench, way: str, name: str) -> ConceptFile:
    """The tuned concept."""
    return read_concept(file_of(way, name, bench.work), bench.base.card)


def tune_all(bench: Bench, pairs: Iterable[Pair]) -> dict[Pair, dict[str, Any]]:
    """Tunes whatever is missing; digest, seconds and trained numbers of each."""
    pairs = list(pairs)
    files = [file_of(way, name, bench.work) for way, name in pairs]
    found = bench.do([_task(bench, way, name) for way, name in pairs], files)
    return dict(zip(pairs, found, strict=True))


def _task(bench: Bench, way: str, name: str) -> Task:
    """A tuning, named by all that decides its result."""
    key = {
        "tune": name,
        "way": way,
        "class": bench.material.concepts[name].class_word,
        "pictures": pictures_of(bench.material.images(name)),
        "base": bench.base.card.sha256[:16],
        "device": bench.device,
        **WAYS[way].facts(bench.base, bench.extent.recipe),
    }
    return key, tune, (bench, way, name)


def pictures_of(folder: Path) -> str:
    """What a folder teaches, found anew only when a file in it is another."""
    return _pictures_of(folder, tuple((f.name, f.stat().st_mtime_ns) for f in folder.iterdir()))


@cache
def _pictures_of(folder: Path, _files: tuple[tuple[str, int], ...]) -> str:
    return fingerprint(scan(folder).accepted)[:16]


def tune(bench: Bench, way: str, name: str) -> dict[str, Any]:
    """Tunes one concept in one way and keeps its file."""
    started, computing = time.perf_counter(), time.process_time()
    base, chosen = open_base(bench.material.base), WAYS[way]
    class_word = bench.material.concepts[name].class_word
    images = scan(bench.material.images(name)).accepted
    recipe = chosen.recipe(base, bench.extent.recipe)
    lesson = Lesson(name, class_word, images, recipe, chosen.method)
    trainer = prepare(base, lesson, bench.device)
    progress = Progress()
    trainer.run(progress, lambda *_: None, lambda: False)
    path = file_of(way, name, bench.work)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.half() for key, value in trainer.concept_tensors().items()}
    write_concept(path, _header(trainer, class_word, chosen), tensors)
    found = {
        "sha256": digest(path),
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - computing,
        "parameters": sum(value.numel() for value in trainer.parameters().values()),
    }
    del trainer, base
    gc.collect()  # they know each other, and dozens are tuned one after another
    return found


def _header(trainer: Trainer, class_word: str, way: Way) -> ConceptHeader:
    recipe, card = trainer.recipe, trainer.base.card
    return ConceptHeader(
        family=card.family,
        base=card.ref,
        name=trainer.subject.name,
        class_word=class_word,
        words=trainer.words,
        slots=card.slots,
        method=way.recipe_of,
        rank=recipe.rank,
        alpha=recipe.alpha,
        recipe=recipe.model_dump(exclude={"rank", "alpha"}),
        created=CREATED,
        fedshow=__version__,
    )
