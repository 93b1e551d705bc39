"""What the demo draws and measures once the release is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image

from fedshow.demo.folders import Person
from fedshow.demo.measuring import (
    Reference,
    held_out_references,
    identities,
    present,
    prompts_for,
    reference,
    side_by_side,
)
from fedshow.pictures import picture_files
from fedshow.sampling.grid import Row
from fedshow.sampling.loading import load
from fedshow.sampling.model import Model
from fedshow.toyworld.encoder import ToyworldEncoder, load_encoder

COLUMNS = 8
JOINT_PLACES = ("on the beach", "on green grass", "in the snow", "at night")


@dataclass(frozen=True)
class Outcome:
    """Everything that can be drawn from: each concept alone, all fused, all averaged."""

    people: Sequence[Person]
    singles: Sequence[Path]
    fused: Path
    average: Path
    base: str


def draw(outcome: Outcome, seeds: Sequence[int], joint: int) -> tuple[list[Row], dict[str, Any]]:
    """Rows of the grid, and identity per concept and kind of model from the same prompts and seeds."""
    encoder = load_encoder()
    known = [reference(p.concept, p.images, encoder) for p in outcome.people]
    rows: list[Row] = [
        (f"{p.node}'s private\nimages of {p.concept}", _private(p)) for p in outcome.people
    ]
    scores: dict[str, dict[str, list[float]]] = {ref.name: {} for ref in known}
    for ref, file in zip(known, outcome.singles, strict=True):
        model = load(file, outcome.base)
        rows.append((f"<{ref.name}> alone", _examples(model, ref.name)))
        scores[ref.name]["single"] = identities(model, ref, encoder, seeds)
    shares: dict[str, dict[str, float]] = {}
    for kind, folder in (("fused", outcome.fused), ("average", outcome.average)):
        model = load(folder)
        for ref in known:
            rows.append((f"<{ref.name}>, {kind}", _examples(model, ref.name)))
            scores[ref.name][kind] = identities(model, ref, encoder, seeds)
        images, shares[kind] = _joint(model, known, encoder, joint)
        rows.append((f"both, by regions,\n{kind}", images[:COLUMNS]))
    return rows, {
        "identity": {
            name: {kind: fmean(found) for kind, found in kinds.items()}
            for name, kinds in scores.items()
        },
        "identity_of_pictures": scores,
        "both_present": shares["fused"]["both"],
        "both_nearest": shares["fused"]["nearest"],
        "both_present_average": shares["average"]["both"],
        "both_nearest_average": shares["average"]["nearest"],
        "joint_pictures": len(images),
    }


def _private(person: Person) -> list[Image.Image]:
    return [Image.open(file) for file in picture_files(person.images)[:COLUMNS]]


def _examples(model: Model, name: str) -> list[Image.Image]:
    return model(prompts_for(name)[:COLUMNS], seed=100).images


def _joint(
    model: Model, known: Sequence[Reference], encoder: ToyworldEncoder, count: int
) -> tuple[list[Image.Image], dict[str, float]]:
    """Pictures of both concepts by regions, and the shares in which both are where they belong."""
    images, found = [], []
    crowd = held_out_references(encoder)
    for number in range(0, count, len(JOINT_PLACES)):
        for place in JOINT_PLACES:
            prompt, regions = side_by_side(known[0].name, known[1].name, place)
            (image,) = model(prompt, regions=regions, seed=1000 + number).images
            images.append(image)
            found.append(present(image, regions, known[:2], crowd, encoder))
    return images, {
        "both": fmean(p.both for p in found),
        "nearest": fmean(p.nearest for p in found),
    }
