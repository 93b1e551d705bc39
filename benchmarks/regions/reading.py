"""What the measuring encoder reads in the boxes of a picture."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL.Image import Image

from benchmarks.embedded import encoder
from benchmarks.private_folder import person
from benchmarks.regions.layouts import CHARACTERS, Layout
from fedshow.demo.measuring import Reference, reference
from fedshow.toyworld.encoder import LABELS
from fedshow.toyworld.heldout import HELDOUT

BOUND = ("colour", "accessory")
"""Attributes that have to be where they belong, as far as the encoder has a word for them."""

TRACED = ("colour", "pattern", "accessory", "mark")
"""Attributes that must not turn up next door."""


def references(work: Path) -> dict[str, Reference]:
    """What each concept's private pictures look like."""
    return {
        name: reference(name, person(name, work / "people").images, encoder())
        for name in CHARACTERS
    }


def read_boxes(image: Image, layout: Layout, known: dict[str, Reference]) -> list[dict[str, Any]]:
    """Of each box: whether anybody of the right kind is there, how like it is, what it wears."""
    crops = [
        image.crop(tuple(round(edge) for edge in layout.pixels(box)))  # type: ignore[arg-type]
        for box in layout.boxes
    ]
    return read(crops, layout.concepts, known)


def read(
    crops: Sequence[Image], concepts: Sequence[str], known: dict[str, Reference]
) -> list[dict[str, Any]]:
    """The same for pictures that show one concept each."""
    judge = encoder()
    features, real, labels = judge.identity(crops), judge.realness(crops), judge.attributes(crops)
    seen = [{name: labels[name].labels[k] for name in LABELS} for k in range(len(crops))]
    found = []
    for k, name in enumerate(concepts):
        others = [HELDOUT[other] for other in concepts if other != name]
        scores = {o: float(ref.similarity(features[[k]])) for o, ref in known.items()}
        found.append(
            {
                "concept": name,
                "present": bool(real[k] > 0.5 and seen[k]["kind"] == HELDOUT[name].kind),
                "identity": scores[name],
                "nearest": max(scores, key=scores.__getitem__) == name,
                "bound": {
                    a: seen[k][a] == own
                    for a in BOUND
                    if (own := getattr(HELDOUT[name], a)) in LABELS[a]
                },
                "leaked": [
                    a
                    for a in TRACED
                    if seen[k][a] != getattr(HELDOUT[name], a)
                    and seen[k][a] not in ("none", "plain")
                    and seen[k][a] in {getattr(other, a) for other in others}
                ],
            }
        )
    return found


def summary(pictures: Sequence[Sequence[dict[str, Any]]]) -> dict[str, float]:
    """Shares of pictures and boxes. Attributes are those of objects that are there."""
    boxes = [box for picture in pictures for box in picture]
    there = [box for box in boxes if box["present"]]
    bound = [value for box in there for value in box["bound"].values()]
    return {
        "present": fmean(all(box["present"] for box in picture) for picture in pictures),
        "present_boxes": fmean(box["present"] for box in boxes),
        "identity": fmean(box["identity"] for box in boxes),
        "nearest": fmean(box["nearest"] for box in boxes),
        "attributes": fmean(bound) if bound else 0.0,
        "leaked": fmean(bool(box["leaked"]) for box in boxes),
    }
