"""What the measuring encoder reads in the boxes of a picture."""

from collections.abc import Mapping, Sequence
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

Alone = Mapping[str, Sequence[Mapping[str, str]]]
"""Of each concept what the encoder reads in pictures of it alone."""


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
                "seen": seen[k],
                "leaked": leaks(seen[k], name, concepts),
            }
        )
    return found


def leaks(seen: Mapping[str, str], name: str, concepts: Sequence[str]) -> list[str]:
    """Attributes in which somebody else of the picture is seen instead of the concept itself."""
    others = [HELDOUT[other] for other in concepts if other != name]
    return [
        a
        for a in TRACED
        if seen[a] != getattr(HELDOUT[name], a)
        and seen[a] not in ("none", "plain")
        and seen[a] in {getattr(other, a) for other in others}
    ]


def misread(name: str, concepts: Sequence[str], alone: Alone) -> float:
    """How often the concept alone, where nobody is near, looks as if something of these others had leaked."""
    return fmean(bool(leaks(seen, name, concepts)) for seen in alone[name])


def summary(pictures: Sequence[Sequence[dict[str, Any]]], alone: Alone) -> dict[str, float]:
    """Shares of pictures and boxes. Attributes are those of objects that are there.

    `leaked` is the share of boxes that show something of a neighbour, `leaked_net` the same less what the
    encoder misreads so in pictures of the concepts alone.
    """
    boxes = [box for picture in pictures for box in picture]
    expected = [
        misread(box["concept"], [other["concept"] for other in picture], alone)
        for picture in pictures
        for box in picture
    ]
    there = [box for box in boxes if box["present"]]
    bound = [value for box in there for value in box["bound"].values()]
    return {
        "present": fmean(all(box["present"] for box in picture) for picture in pictures),
        "present_boxes": fmean(box["present"] for box in boxes),
        "identity": fmean(box["identity"] for box in boxes),
        "nearest": fmean(box["nearest"] for box in boxes),
        "attributes": fmean(bound) if bound else 0.0,
        "leaked": (leaked := fmean(bool(box["leaked"]) for box in boxes)),
        "leaked_net": leaked - fmean(expected),
    }
