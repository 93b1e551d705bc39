"""The private folders of the demo's two people: drawings of characters the base has never seen."""

import random
from dataclasses import dataclass
from pathlib import Path

from fedshow.toyworld.heldout import HELDOUT, draw_heldout

IMAGES_EACH = 8
PIXELS = 256


@dataclass(frozen=True)
class Person:
    """Somebody with pictures of one character, and a machine of their own."""

    node: str
    concept: str
    folder: Path
    """Everything of this person's: `images/` and the client's home."""

    @property
    def class_word(self) -> str:
        """The character's kind: the class word its concept starts from."""
        return HELDOUT[self.concept].kind

    @property
    def images(self) -> Path:
        """The private pictures."""
        return self.folder / "images"

    @property
    def home(self) -> Path:
        """FEDSHOW_HOME of this person's client."""
        return self.folder / "home"


def draw_images(person: Person, seed: int) -> None:
    """Draws the person's pictures on varied places, each with caption and subject mask."""
    person.images.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    for number, (picture, caption) in enumerate(
        draw_heldout(person.concept, IMAGES_EACH, rng, PIXELS), start=1
    ):
        stem = person.images / f"{person.concept}-{number}"
        picture.image.save(stem.with_suffix(".png"))
        picture.masks[0].save(f"{stem}.mask.png")
        stem.with_suffix(".txt").write_text(caption + "\n")
