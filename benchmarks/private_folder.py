"""The private folders that benchmarks learn from: drawn as the demo draws them."""

from dataclasses import replace
from pathlib import Path

from fedshow.demo.folders import Person, draw_images
from fedshow_client.tuning.data.folder import Candidate, scan

SEED = 0


def person(character: str, folder: Path) -> Person:
    """Somebody with eight masked and captioned pictures of a held-out character; drawn once."""
    found = Person("bench", character, folder / character)
    if not found.images.is_dir():
        draw_images(found, SEED)
    return found


def candidates(someone: Person, captions: bool) -> list[Candidate]:
    """The pictures as `fedshow tune` would see them, with or without their captions."""
    images = scan(someone.images).accepted
    return images if captions else [replace(image, caption=None) for image in images]
