"""The study that `make study` runs on folders of pictures: four questions, and what a fusion loses most."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.study.bench import Bench
from benchmarks.study.questions import fusion, methods, parts
from benchmarks.study.real import regions
from benchmarks.study.real.extents import extent_of, tiny
from benchmarks.study.real.material import Pictures
from benchmarks.study.real.page import write_page
from benchmarks.study.study import Study
from fedshow.sampling.model import Model
from fedshow.scoring.alignment import image_alignment

QUESTIONS = {
    "methods": methods.measure,
    "fusion": fusion.measure,
    "parts": parts.measure,
    "regions": regions.measure,
}
STEPS = 20


@dataclass(frozen=True)
class Choice:
    """What somebody studies, with what."""

    images: Path
    base: str
    encoder: Path
    identity: Path | None = None
    each: int = 1
    steps: int = STEPS
    tiny: bool = False


def of_images(choice: Choice, work: Path, device: str, workers: int) -> Study:
    """The study of a choice; raises InvalidInput for pictures, base or encoders that allow none."""
    identity = choice.identity or choice.encoder
    material = Pictures(choice.images, choice.base, choice.encoder, identity, device)
    material.check()
    concepts, rivals = material.concepts, material.rivals
    extent = (
        tiny(concepts, rivals)
        if choice.tiny
        else extent_of(concepts, rivals, choice.each, choice.steps)
    )
    bench = Bench(work, device, workers, extent, material)
    tokens = Model(bench.base).tokens
    for word in {one.class_word for one in concepts.values()}:
        tokens.class_row(word)  # refuses a word that is none to the base
    return Study(bench, lambda _: judges(material), QUESTIONS, write_page)


def judges(material: Pictures) -> dict[str, Any]:
    """Who judges, and how well pictures are told apart: each against all others of its concept."""
    known = {name: material.known(name) for name in material.concepts}
    right, own, other = [], [], []
    for name, features_MD in known.items():
        for k, one_D in enumerate(features_MD):
            rest = torch.cat([features_MD[:k], features_MD[k + 1 :]])
            if not len(rest):
                continue
            mine = float(image_alignment(one_D[None], rest))
            most = max(float(image_alignment(one_D[None], known[o])) for o in known if o != name)
            right.append(mine > most)
            own.append(mine)
            other.append(most)
    count = max(1, len(own))
    return {
        "identity": material.judge.name,
        "text": material.reader.name,
        "top1": sum(right) / count,
        "own": sum(own) / count,
        "other": sum(other) / count,
    }
