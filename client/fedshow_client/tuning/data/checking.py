"""A look at a folder before anything is tuned: the same for `fedshow check` and for the client's page."""

from dataclasses import dataclass
from pathlib import Path

from fedshow_client.tuning.data.bases import frame_and_width
from fedshow_client.tuning.data.folder import ImageFolder, examine
from fedshow_client.tuning.data.preview import Preview, preview, summary
from fedshow_client.tuning.data.words import NOT_HERE, unreadable
from fedshow_client.tuning.recipe import SMALL, SMALL_TOKEN_DIM, Recipe


@dataclass(frozen=True)
class Checked:
    """What tuning would make of a folder."""

    folder: ImageFolder
    previews: list[Preview]
    lines: list[str]
    """About all images together."""
    notes: list[str]
    """What to know besides."""


def check_folder(images: Path, base: str, name: str, class_word: str) -> Checked:
    """Every image with whether and how tuning on `base` would use it, and why.

    Raises InvalidInput for no folder and for no base, Unreachable for a base that cannot be fetched now.
    """
    frame, width = frame_and_width(base)
    recipe = Recipe.model_validate(SMALL if width < SMALL_TOKEN_DIM else {})
    folder = examine(images, frame.edge)
    faults = unreadable(base, name, class_word, folder.accepted)
    previews = preview(folder, frame, recipe, name, class_word, faults or {})
    notes = [*folder.notes, *([NOT_HERE.format(base)] if faults is None else [])]
    return Checked(folder, previews, summary(previews, recipe), notes)
