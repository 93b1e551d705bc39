"""Concepts from folders of pictures: `GROUP/CLASS/NAME/`, such as `characters/dog/rex/`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fedshow.concepts.names import check_class, check_name
from fedshow.errors import InvalidInput
from fedshow_client.tuning.data.folder import scan

GROUPS = ("characters", "objects", "scenes")
FEWEST = 2
"""Concepts: of one there is nothing to fuse."""


@dataclass(frozen=True)
class Folder:
    """A concept whose pictures somebody took."""

    name: str
    class_word: str
    group: str
    path: Path


def read_folders(images: Path) -> dict[str, Folder]:
    """All concepts below a folder, by name.

    Raises InvalidInput for another layout, names and class words that cannot be, two of one name, fewer
    than two concepts, and a folder without a usable picture.
    """
    found: dict[str, Folder] = {}
    for one in _all(images):
        if one.name in found:
            raise InvalidInput(f"{one.path}: {found[one.name].path} is called {one.name!r}, too")
        scan(one.path)
        found[one.name] = one
    if len(found) < FEWEST:
        raise InvalidInput(
            f"{images}: {len(found)} concepts, a study needs at least {FEWEST}, each in a folder "
            "GROUP/CLASS/NAME such as characters/dog/rex"
        )
    return found


def _all(images: Path) -> Iterator[Folder]:
    for group in _below(images):
        if group.name not in GROUPS:
            raise InvalidInput(f"{group}: groups are called {', '.join(GROUPS)}")
        for kind in _below(group):
            for path in _below(kind):
                yield Folder(check_name(path.name), check_class(kind.name), group.name, path)


def _below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: not a folder")
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    return [path for path in paths if path.is_dir()]


def rivals_of(folders: Mapping[str, Folder]) -> frozenset[str]:
    """Those of the class that most have; none where no two share one."""
    by_class: dict[str, list[str]] = {}
    for one in folders.values():
        by_class.setdefault(one.class_word, []).append(one.name)
    most = max(by_class.values(), key=len)
    return frozenset(most) if len(most) > 1 else frozenset()
