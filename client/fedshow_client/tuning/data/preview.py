"""What tuning would do with every image of a folder, and why: the facts behind `fedshow check`."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fedshow_client.tuning.data.augmentation import Crop
from fedshow_client.tuning.data.captions import captions_for
from fedshow_client.tuning.data.folder import Candidate, ImageFolder
from fedshow_client.tuning.data.frames import Frame, Size
from fedshow_client.tuning.data.masks import subject_box
from fedshow_client.tuning.data.planning import crops_of

if TYPE_CHECKING:
    from fedshow_client.tuning.recipe import Recipe

ENLARGED, SHOWN = 1.1, 0.5
"""Said from this enlargement on, and when no crop shows more than this share of the picture."""


@dataclass(frozen=True)
class Preview:
    """What will become of one image."""

    image: Candidate
    captions: tuple[str, ...] = ()
    crops: tuple[Crop, ...] = ()
    notes: tuple[str, ...] = ()
    seen: int = 0
    """How many times the run will show it, over all variants."""

    @property
    def frame(self) -> Size | None:
        """The size at which it is taught."""
        return self.crops[0].frame if self.crops else None

    def facts(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "file": self.image.path.name,
            "accepted": self.image.accepted,
            "reason": self.image.reason,
            "width": self.image.size[0],
            "height": self.image.size[1],
            "caption": self.image.caption,
            "mask": self.image.mask.name if self.image.mask else None,
            "captions": list(self.captions),
            "frame": list(self.frame) if self.frame else None,
            "scale": round(fmean(crop.scale for crop in self.crops), 3) if self.crops else None,
            "variants": len(self.crops),
            "seen": self.seen,
            "notes": list(self.notes),
        }


def preview(
    folder: ImageFolder,
    frame: Frame,
    recipe: "Recipe",
    name: str,
    class_word: str,
    unreadable: Mapping[Path, str] = MappingProxyType({}),
) -> list[Preview]:
    """Every image of the folder with what a run of `recipe` would do with it.

    `unreadable` says of some images why the base cannot read their captions.
    """
    accepted = len(folder.accepted)
    found, number = [], 0
    for image in folder.candidates:
        if not image.accepted:
            found.append(Preview(image, notes=image.notes))
            continue
        crops = tuple(crops_of(image, number, frame, recipe, recipe.seed))
        captions = captions_for(name, class_word, image.caption, recipe.shuffle_captions)
        notes = (*image.notes, *_crop_notes(image, crops))
        if fault := unreadable.get(image.path):
            notes += (f"tuning will refuse its caption: {fault}",)
        seen = round(recipe.steps * recipe.batch / accepted)
        found.append(Preview(image, captions, crops, notes, seen))
        number += 1
    return found


def summary(previews: Sequence[Preview], recipe: "Recipe") -> list[str]:
    """Lines about all images together."""
    used = [preview for preview in previews if preview.image.accepted]
    lines = []
    if used:
        sizes = Counter(preview.frame for preview in used if preview.frame)
        listed = ", ".join(f"{count} x {w}x{h}" for (w, h), count in sizes.most_common())
        lines.append(f"sizes: {listed}")
        lines.append(
            f"{recipe.steps} steps of {recipe.batch} show each image about {used[0].seen} times, "
            f"each of its {recipe.variants} variants about {used[0].seen / recipe.variants:.3g} times"
        )
    return [*lines, f"{len(used)} of {len(previews)} images usable"]


def _crop_notes(image: Candidate, crops: Sequence[Crop]) -> Iterator[str]:
    least = min(crop.scale for crop in crops)
    if least > ENLARGED:
        width, height = (round(edge * least) for edge in image.size)
        yield f"will be enlarged {least:.1f} x: {width}x{height} pixels or more would be sharper"
    shown = max(_area(crop.part) for crop in crops) / (image.size[0] * image.size[1])
    if shown < SHOWN:
        yield f"no crop shows more than {shown:.0%} of it: cut it yourself if that is the wrong part"
    mask = image.load_mask()
    box = subject_box(mask) if mask else None
    if box and not all(_contains(crop.part, box) for crop in crops):
        yield "the subject is larger than some crops: parts of it will be cut off"


def _area(part: Sequence[float]) -> float:
    return (part[2] - part[0]) * (part[3] - part[1])


def _contains(part: Sequence[float], box: Sequence[int]) -> bool:
    slack = 0.5
    begins = part[0] <= box[0] + slack and part[1] <= box[1] + slack
    return begins and part[2] >= box[2] - slack and part[3] >= box[3] - slack
