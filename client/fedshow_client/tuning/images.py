"""A folder of private images: what can be used, with which caption and mask, and what cannot and why."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from fedshow.errors import InvalidInput

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
MASK_SUFFIX = ".mask.png"
MIN_EDGE_PIXELS = 16
MAX_PIXELS = 1 << 27
UNREADABLE = (
    OSError,
    UnidentifiedImageError,
    SyntaxError,
    ValueError,
    Image.DecompressionBombError,
)
"""What Pillow raises for files that are no pictures, or absurd ones."""


@dataclass(frozen=True)
class Candidate:
    """One image file, and the reason when it cannot be used."""

    path: Path
    size: tuple[int, int] = (0, 0)
    """Width and height in pixels, turned as its EXIF orientation says."""

    caption: str | None = None
    mask: Path | None = None
    reason: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether tuning would use it."""
        return self.reason is None

    def load(self) -> Image.Image:
        """The picture, upright, RGB."""
        with Image.open(self.path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")

    def load_mask(self) -> Image.Image | None:
        """The subject's mask, white where the subject is, or None."""
        if self.mask is None:
            return None
        with Image.open(self.mask) as image:
            return image.convert("L")


@dataclass(frozen=True)
class ImageFolder:
    """Everything that `fedshow check` reports about a folder."""

    candidates: list[Candidate] = field(default_factory=list)

    @property
    def accepted(self) -> list[Candidate]:
        """The images that tuning uses."""
        return [candidate for candidate in self.candidates if candidate.accepted]


def examine(folder: Path) -> ImageFolder:
    """Every image in `folder`, in order of name, usable or not; raises InvalidInput for no folder."""
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: not a folder of images")
    seen: dict[str, str] = {}
    paths = filter(_is_image, sorted(folder.iterdir()))
    return ImageFolder([_examine(path, seen) for path in paths])


def scan(folder: Path) -> ImageFolder:
    """As `examine`; raises InvalidInput also when no image can be used."""
    found = examine(folder)
    if not found.candidates:
        raise InvalidInput(f"{folder}: no images (looked for {', '.join(sorted(SUFFIXES))})")
    if not found.accepted:
        first = found.candidates[0]
        raise InvalidInput(
            f"{folder}: none of {len(found.candidates)} images is usable; "
            f"{first.path.name}: {first.reason}"
        )
    return found


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.endswith(MASK_SUFFIX)


def _examine(path: Path, seen: dict[str, str]) -> Candidate:
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                return Candidate(
                    path, image.size, reason=f"{image.width}x{image.height} is too large"
                )
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except UNREADABLE as error:
        return Candidate(path, reason=f"cannot be read ({type(error).__name__})")
    if min(upright.size) < MIN_EDGE_PIXELS:
        return Candidate(path, upright.size, reason=f"smaller than {MIN_EDGE_PIXELS} pixels")
    content = hashlib.sha256(upright.tobytes()).hexdigest()
    if (twin := seen.setdefault(content, path.name)) != path.name:
        return Candidate(path, upright.size, reason=f"same picture as {twin}")
    return _with_companions(path, upright.size)


def _with_companions(path: Path, size: tuple[int, int]) -> Candidate:
    text, mask = path.with_suffix(".txt"), path.with_name(path.stem + MASK_SUFFIX)
    caption = text.read_text(errors="replace").strip() if text.is_file() else None
    if not mask.is_file():
        return Candidate(path, size, caption or None)
    try:
        with Image.open(mask) as image:
            if image.size != size:
                reason = f"mask is {image.width}x{image.height}, image {size[0]}x{size[1]}"
                return Candidate(path, size, caption, reason=reason)
            image.load()
    except UNREADABLE as error:
        return Candidate(
            path, size, caption, reason=f"mask cannot be read ({type(error).__name__})"
        )
    return Candidate(path, size, caption or None, mask)
