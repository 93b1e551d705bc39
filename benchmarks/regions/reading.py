"""What the measuring encoder reads in the boxes of a picture."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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

Worn = tuple[str, str]
"""An attribute and its value."""

Rates = Mapping[tuple[str, Worn], float]
"""By concept and attribute."""

Picture = Sequence[dict[str, Any]]
"""What was read in its boxes."""


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
            }
        )
    return found


def unprovoked(pictures: Iterable[Picture]) -> Rates:
    """How often each attribute is read in boxes of a concept that neither it nor a neighbour of it wears.

    So much the encoder misreads, and the concept itself does: nothing of it can have leaked.
    """
    read: dict[tuple[str, Worn], list[bool]] = {}
    for picture in pictures:
        all_worn = frozenset().union(*(worn(name) for name in CHARACTERS))
        for box, foreign in _boxes(picture):
            for attribute in all_worn - foreign - worn(box["concept"]):
                read.setdefault((box["concept"], attribute), []).append(_shows(box, attribute))
    return {key: fmean(values) for key, values in read.items()}


def worn(name: str) -> frozenset[Worn]:
    """What can be seen of a character next door."""
    pairs = ((a, getattr(HELDOUT[name], a)) for a in TRACED)
    return frozenset((a, value) for a, value in pairs if value not in ("none", "plain"))


def _boxes(picture: Picture) -> Iterator[tuple[dict[str, Any], frozenset[Worn]]]:
    """Each box with what its neighbours wear and its concept does not."""
    for box in picture:
        others = (other["concept"] for other in picture if other is not box)
        yield box, frozenset().union(*map(worn, others)) - worn(box["concept"])


def _shows(box: Mapping[str, Any], attribute: Worn) -> bool:
    name, value = attribute
    return bool(box["seen"][name] == value)


def summary(pictures: Sequence[Picture], rates: Rates) -> dict[str, float]:
    """Shares of pictures and boxes. Attributes are those of objects that are there.

    `leaked_boxes` is the share of boxes in which something is read that a neighbour wears; `leaked` is the
    share of all that neighbours wear which is read in a concept's box, less what is read there unprovoked.
    """
    boxes = [box for picture in pictures for box in picture]
    there = [box for box in boxes if box["present"]]
    bound = [value for box in there for value in box["bound"].values()]
    foreign = [found for picture in pictures for found in _boxes(picture)]
    excess = [
        _shows(box, attribute) - rates.get((box["concept"], attribute), 0.0)
        for box, attributes in foreign
        for attribute in attributes
    ]
    return {
        "present": fmean(all(box["present"] for box in picture) for picture in pictures),
        "present_boxes": fmean(box["present"] for box in boxes),
        "identity": fmean(box["identity"] for box in boxes),
        "nearest": fmean(box["nearest"] for box in boxes),
        "attributes": fmean(bound) if bound else 0.0,
        "leaked_boxes": fmean(any(_shows(b, a) for a in attributes) for b, attributes in foreign),
        "leaked": fmean(excess) if excess else 0.0,
    }
