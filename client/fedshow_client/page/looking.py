"""Folders that somebody looks at before anything is tuned, and small pictures of what lies in them."""

import io
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from fedshow.errors import InvalidInput, NotFound
from fedshow.pictures import UNREADABLE, picture_files
from fedshow.transfer.servers import KnownServer
from fedshow_client.tuning.data.checking import Checked, check_folder
from fedshow_client.tuning.data.folder import Candidate

EDGE_PIXELS = 320
MOST_LOOKS = 8
MOST_IMAGES = 200
"""In a folder that the page looks at: each one is opened, and 4 to 20 teach best."""

NAME, CLASS = "your-concept", "thing"
"""Stand for those that nobody has chosen yet, as with `fedshow check`."""


@dataclass(frozen=True)
class LookedAt:
    """One folder and what was found, by an id that nobody guesses."""

    folder: Path
    server: KnownServer
    found: Checked
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    @property
    def usable(self) -> bool:
        """Whether a concept could be taught from it."""
        return bool(self.found.folder.accepted)


class Looks:
    """The last few, in memory; images are opened one at a time, for some are large."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, LookedAt] = OrderedDict()
        self._turn = Lock()

    def look(self, folder: Path, server: KnownServer) -> LookedAt:
        """Looks at a folder as `fedshow check` does; raises InvalidInput, Unreachable."""
        try:
            _check_number(folder)
            with self._turn:
                found = check_folder(folder, server.base_source, NAME, CLASS)
                looked = LookedAt(folder, server, found)
                self._kept[looked.id] = looked
                while len(self._kept) > MOST_LOOKS:
                    self._kept.popitem(last=False)
        except OSError as error:  # another user's folder, a name that is too long
            raise InvalidInput(f"{error.filename or folder}: {error.strerror or error}") from error
        return looked

    def get(self, look: str) -> LookedAt:
        """One of them; raises NotFound for one that was forgotten."""
        found = self._kept.get(look)
        if found is None:
            raise NotFound("this look at a folder is forgotten: look again")
        return found

    def thumbnail(self, look: str, number: int) -> bytes:
        """Image `number` of a folder as a small JPEG; raises NotFound."""
        images = self.get(look).found.folder.candidates
        if number >= len(images) or not images[number].shown:
            raise NotFound(f"no picture {number}")
        with self._turn:
            return _small(images[number])


def _check_number(folder: Path) -> None:
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: not a folder of images")
    number = len(picture_files(folder))
    if number > MOST_IMAGES:
        raise InvalidInput(
            f"{folder}: {number} images, the page looks at {MOST_IMAGES} at most; 4 to 20 of one "
            "thing teach best"
        )


def _small(image: Candidate) -> bytes:
    try:
        picture = image.load()
    except UNREADABLE:  # since it was looked at
        raise NotFound(f"no picture {image.path.name}") from None
    picture.thumbnail((EDGE_PIXELS, EDGE_PIXELS))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=88)
    return content.getvalue()
