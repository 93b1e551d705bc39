"""What each image says during tuning, with the concept in it."""

import math
import random
import re
from collections.abc import Iterable, Sequence
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator

CAPTION_SUFFIXES = (".txt", ".caption")
TRIGGER = "[trigger]"
ORDERS = 8
"""Of a caption's phrases: enough variety, and few enough that all captions are known beforehand."""

_PEOPLE = (
    "man woman boy girl person guy lady gentleman baby toddler child kid teenager adult human "
    "actor actress singer athlete model father mother dad mom grandfather grandmother grandpa "
    "grandma son daughter brother sister husband wife king queen prince princess face"
)
PEOPLE = frozenset(_PEOPLE.split())
PEOPLE_TEMPLATES = ("photo of a {0}", "a photo of a {0}", "a portrait of a {0}", "a {0}")
THING_TEMPLATES = ("photo of a {0}", "a photo of a {0}", "a picture of a {0}", "a {0}")
"""True of any picture whatever else it shows, and readable by the small embedded base."""


class Captions:
    """The captions of a run: one or more for each image, always with `<name>` in them."""

    def __init__(
        self, name: str, class_word: str, written: Sequence[str | None], shuffle: bool = True
    ) -> None:
        self.choices = [captions_for(name, class_word, text, shuffle) for text in written]

    def draw(self, images: Sequence[int], generator: "Generator") -> list[str]:
        """One caption for each of the images (by number), all by the same random number.

        So images without words of their own say the same, and a step encodes it once.
        """
        import torch

        drawn = float(torch.rand((), generator=generator))
        chosen = [self.choices[image] for image in images]
        return [choices[int(drawn * len(choices))] for choices in chosen]

    def all(self) -> list[str]:
        """Every distinct caption that `draw` can give."""
        return list(dict.fromkeys(text for choices in self.choices for text in choices))


def captions_for(
    name: str, class_word: str, written: str | None, shuffle: bool = True
) -> tuple[str, ...]:
    """The captions of one image: templates of its class, or the written one in several orders."""
    mention = f"<{name}>"
    if written is None:
        return tuple(template.format(mention) for template in templates_for(class_word))
    caption = mentioned(name, class_word, written)
    return _orders(caption, mention) if shuffle else (caption,)


def templates_for(class_word: str) -> tuple[str, ...]:
    """The templates that suit a class: portraits are of people."""
    return PEOPLE_TEMPLATES if class_word.lower() in PEOPLE else THING_TEMPLATES


def mentioned(name: str, class_word: str, written: str) -> str:
    """The caption with `<name>` in it, where it was, or `[trigger]`, `<class>`, the name or the class word.

    In capitals or not; without any of these it comes first.
    """
    mention = f"<{name}>"
    for marked in (mention, TRIGGER, f"<{class_word}>"):
        replaced, count = re.subn(re.escape(marked), mention, written, flags=re.I)
        if count:
            return replaced
    for word in (name, class_word):
        pattern = rf"\b{re.escape(word)}\b"
        replaced, count = re.subn(pattern, mention, written, count=1, flags=re.I)
        if count:
            return replaced
    return f"{mention}, {written}"


def read_caption(image: Path) -> tuple[str | None, tuple[str, ...]]:
    """The caption in `NAME.txt` (or `NAME.caption`), one line whatever its breaks, and notes."""
    path = _caption_beside(image)
    if path is None:
        return None, ()
    text = " ".join(path.read_text("utf-8-sig", errors="replace").split())
    notes = (f"{path.name} is not UTF-8",) if "\ufffd" in text else ()
    return (text, notes) if text else (None, (f"{path.name} is empty",))


def _caption_beside(image: Path) -> Path | None:
    """The image's caption file, its suffix in capitals or not, small letters first."""

    def turn(path: Path) -> tuple[int, bool, str]:
        order = CAPTION_SUFFIXES.index(path.suffix.lower())
        return order, path.suffix not in CAPTION_SUFFIXES, path.name

    found = (
        path
        for path in image.parent.iterdir()
        if path.stem == image.stem and path.suffix.lower() in CAPTION_SUFFIXES and path.is_file()
    )
    return min(found, key=turn, default=None)


def _orders(caption: str, mention: str) -> tuple[str, ...]:
    """The comma-separated phrases in up to ORDERS orders, the concept's own always first."""
    phrases = [phrase for part in caption.split(",") if (phrase := part.strip())]
    own = next(phrase for phrase in phrases if mention in phrase)
    others = [phrase for phrase in phrases if phrase is not own]
    if math.factorial(len(others)) <= ORDERS:
        orders: Iterable[Sequence[str]] = permutations(others)
    else:
        rng = random.Random(caption)
        orders = (others, *(rng.sample(others, len(others)) for _ in range(ORDERS - 1)))
    return tuple(dict.fromkeys(", ".join([own, *order]) for order in orders))
