"""A folder of private images: what can be used, with which caption and mask, and what cannot and why."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from fedshow.errors import Absent, InvalidInput
from fedshow.pictures import (
    HEIF_HINT,
    HEIF_SUFFIXES,
    MASK_SUFFIX,
    MAX_PIXELS,
    SUFFIXES,
    UNREADABLE,
    can_read_heif,
    is_mask,
    is_picture,
    opened,
    upright_rgb,
)
from fedshow_client.tuning.data.captions import CAPTION_SUFFIXES, read_caption
from fedshow_client.tuning.data.likeness import Look, alike, look_at
from fedshow_client.tuning.data.masks import examine_mask, load_mask

MIN_EDGE_PIXELS = 16
MAX_ENLARGED = 8
"""An image may be this many times smaller than the base's pictures; below that nothing is left to learn."""

FEWEST, MOST = 4, 20


@dataclass(frozen=True)
class Candidate:
    """One image file, and the reason when it cannot be used."""

    path: Path
    size: tuple[int, int] = (0, 0)
    """Width and height in pixels, turned as its EXIF orientation says."""

    caption: str | None = None
    mask: Path | None = None
    reason: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether tuning would use it."""
        return self.reason is None

    @property
    def shown(self) -> bool:
        """Whether there is a picture that could be drawn, used or not."""
        return self.size != (0, 0) and self.size[0] * self.size[1] <= MAX_PIXELS

    def load(self) -> Image.Image:
        """The picture, upright, RGB."""
        with opened(self.path) as image:
            return upright_rgb(image)

    def load_mask(self) -> Image.Image | None:
        """The subject's mask in the picture's size, white where the subject is, or None."""
        return load_mask(self.mask, self.size) if self.mask else None


@dataclass(frozen=True)
class ImageFolder:
    """Everything that `fedshow check` reports about a folder."""

    candidates: list[Candidate] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    """About the folder as a whole."""

    @property
    def accepted(self) -> list[Candidate]:
        """The images that tuning uses."""
        return [candidate for candidate in self.candidates if candidate.accepted]


def examine(folder: Path, edge: int = 0) -> ImageFolder:
    """Every image in `folder`, in order of name, usable or not.

    Raises InvalidInput for what is no folder, Absent when nothing is there.
    `edge` is that of the base's pictures, 0 when no base is known yet.
    """
    if not folder.is_dir():
        kind = InvalidInput if folder.exists() else Absent
        raise kind(f"{folder}: not a folder of images")
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    smallest = max(MIN_EDGE_PIXELS, edge // MAX_ENLARGED)
    examination = _Examination(smallest)
    candidates = [examination.of(path) for path in filter(is_picture, entries)]
    return ImageFolder(candidates, tuple(_folder_notes(entries, candidates)))


def scan(folder: Path, edge: int = 0) -> ImageFolder:
    """As `examine`; raises InvalidInput also when no image can be used."""
    found = examine(folder, edge)
    require_usable(folder, found)
    return found


def require_usable(folder: Path, found: ImageFolder) -> None:
    """Raises InvalidInput when no image can be used."""
    if not found.candidates:
        raise InvalidInput(f"{folder}: no images (looked for {', '.join(sorted(SUFFIXES))})")
    if not found.accepted:
        first = found.candidates[0]
        raise InvalidInput(
            f"{folder}: none of {len(found.candidates)} images is usable; "
            f"{first.path.name}: {first.reason}"
        )


def fingerprint(images: Iterable[Candidate]) -> str:
    """Digest of pictures, masks and written captions: equal when tuning would learn from the same."""
    found = hashlib.sha256()
    for image in images:
        mask = image.mask.read_bytes() if image.mask else b""
        for part in (image.path.read_bytes(), mask, repr(image.caption).encode()):
            found.update(hashlib.sha256(part).digest())
    return found.hexdigest()


class _Examination:
    """Looks at one image after the other and remembers them, to tell twins."""

    def __init__(self, min_edge: int) -> None:
        self.min_edge = min_edge
        self.contents: dict[str, str] = {}
        self.looks: dict[str, Look] = {}

    def of(self, path: Path) -> Candidate:
        """What becomes of one image file."""
        if path.suffix.lower() in HEIF_SUFFIXES and not can_read_heif():
            return Candidate(path, reason=f"{path.suffix.lower()} {HEIF_HINT}")
        try:
            with opened(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    return Candidate(path, image.size, reason=_too_large(image.size))
                frames = getattr(image, "n_frames", 1)
                picture = upright_rgb(image)
        except Image.DecompressionBombError:
            return Candidate(path, reason=f"too large (more than {MAX_PIXELS >> 20} megapixels)")
        except UNREADABLE as error:
            return Candidate(path, reason=f"cannot be read ({type(error).__name__})")
        notes = (f"{frames} frames: only the first is used",) if frames > 1 else ()
        return self._judge(Candidate(path, picture.size, notes=notes), picture)

    def _judge(self, image: Candidate, picture: Image.Image) -> Candidate:
        width, height = picture.size
        if min(picture.size) < self.min_edge:
            return replace(image, reason=f"{width}x{height} is smaller than {self.min_edge} pixels")
        content = hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest()
        if (twin := self.contents.setdefault(content, image.path.name)) != image.path.name:
            return replace(image, reason=f"same picture as {twin}")
        finding = examine_mask(image.path, picture.size)
        caption, caption_notes = read_caption(image.path)
        notes = (*image.notes, *caption_notes, *finding.notes, *self._likeness(image, picture))
        return replace(
            image, caption=caption, mask=finding.path, reason=finding.reason, notes=notes
        )

    def _likeness(self, image: Candidate, picture: Image.Image) -> Iterator[str]:
        look = look_at(picture)
        for name, other in self.looks.items():
            if alike(look, other):
                yield f"nearly the same as {name}"
                break
        self.looks[image.path.name] = look


def _too_large(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]} is too large (more than {MAX_PIXELS >> 20} megapixels)"


def _folder_notes(entries: list[Path], candidates: list[Candidate]) -> Iterator[str]:
    usable = sum(candidate.accepted for candidate in candidates)
    if 0 < usable < FEWEST:
        yield f"usable images: {usable}, few; {FEWEST} to {MOST} different ones teach best"
    if usable > MOST:
        yield f"usable images: {usable}, many; {FEWEST} to {MOST} good ones teach best"
    stems = {candidate.path.stem for candidate in candidates}
    for entry in entries:
        if note := _entry_note(entry, stems):
            yield f"{entry.name}: {note}"


def _entry_note(entry: Path, stems: set[str]) -> str | None:
    """Why something in the folder is left aside, when its owner may have meant it to be used."""
    if entry.is_dir():
        return "folders within the folder are not read"
    if is_mask(entry):
        if not entry.name.endswith(MASK_SUFFIX):
            return f"not used, masks are called NAME{MASK_SUFFIX}"
        return None if entry.name.removesuffix(MASK_SUFFIX) in stems else "mask without an image"
    if entry.suffix.lower() in CAPTION_SUFFIXES and entry.stem not in stems:
        return "caption without an image"
    return None
