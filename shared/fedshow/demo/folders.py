"""The private folders of the demo's two people: drawings of characters the base has never seen."""

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from fedshow.errors import InvalidInput
from fedshow.pictures import MASK_SUFFIX
from fedshow.toyworld.heldout import HELDOUT, draw_heldout

CAST = (("alice", "gloop"), ("bob", "bolt"))
"""Who takes part, and the held-out character each of them teaches."""

MARKER = ".fedshow-demo"
OURS = ("people", "server", "logs", "release", "average", "grid.png", "report.json")
"""What a demo leaves in its folder; a folder with anything else is never touched."""

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
        picture.masks[0].save(f"{stem}{MASK_SUFFIX}")
        stem.with_suffix(".txt").write_text(caption + "\n")


def prepare(out: Path) -> list[Person]:
    """Everybody who takes part, their pictures drawn, in a folder without leftovers of an earlier demo.

    Raises InvalidInput for a folder that is not an earlier demo's.
    """
    if out.exists() and any(out.iterdir()):
        if strange := sorted(p.name for p in out.iterdir() if p.name not in (*OURS, MARKER)):
            raise InvalidInput(f"{out} holds {strange[0]}: choose an empty folder with --out")
        if not (out / MARKER).is_file():
            raise InvalidInput(
                f"{out} is not of an earlier demo: choose an empty folder with --out"
            )
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()
    people = people_of(out)
    for seed, person in enumerate(people):
        draw_images(person, seed)
    return people


def people_of(out: Path) -> list[Person]:
    """Everybody who takes part, with their folders in a demo's output folder."""
    return [Person(node, name, out / "people" / node) for node, name in CAST]
