"""What the base is, worked out once in a process of its own (it loads torch) and kept.

python -m fedshow_server.describing --data DIR --base BASE
"""

import argparse
import logging
from hashlib import sha256
from pathlib import Path

from fedshow import __version__
from fedshow.errors import FedshowError, InvalidInput, last_line
from fedshow.families.card import BaseCard
from fedshow.families.locating import TOYWORLD
from fedshow.files import tail
from fedshow_server.children import die_with_parent, run_to_end
from fedshow_server.folder import DataFolder, DescribedBase

log = logging.getLogger(__name__)


async def described_base(folder: DataFolder, base: str) -> BaseCard:
    """The card of the server's base.

    Raises InvalidInput: unknown base, or the data have another, by name or by weights.
    """
    known = folder.base()
    if known is not None and known.base != base:
        raise InvalidInput(
            f"the data in {folder.path} belong to base {known.base!r}, not {base!r}: "
            f"give that base or another --data"
        )
    if known is None or (known.fedshow, known.files) != (__version__, files_of(base)):
        log.info("looking at base %s", base)
        await _describe_in_child(folder, base)
        known = folder.base()
        assert known is not None
    return known.card


def files_of(base: str) -> str:
    """A digest of where the base's files are, their sizes and ages; empty unless it is a folder or file."""
    place = Path(base).resolve()
    if base == TOYWORLD or not place.exists():
        return ""
    files = [place, *place.glob("*"), *place.glob("*/*")]
    found = [(str(file), file.stat()) for file in sorted(files) if file.is_file()]
    seen = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]
    return sha256(repr((str(place), seen)).encode()).hexdigest()


async def _describe_in_child(folder: DataFolder, base: str) -> None:
    log_path = folder.logs / "describing.log"
    arguments = ("--data", str(folder.path), "--base", base)
    if await run_to_end("fedshow_server.describing", *arguments, log_path=log_path):
        said = last_line(tail(log_path)) or "no output"
        raise InvalidInput(f"base {base!r} cannot be used: {said}")


def main() -> None:
    """Describes the base and keeps the result in the data folder, unless it is another base now."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", required=True)
    arguments = parser.parse_args()
    die_with_parent()
    from fedshow.families import describe

    files = files_of(arguments.base)
    try:
        card = describe(arguments.base)
    except FedshowError as error:
        raise SystemExit(str(error)) from None
    folder = DataFolder(arguments.data)
    known = folder.base()
    if known is not None and known.card.sha256 != card.sha256:
        raise SystemExit(
            f"its weights are {card.sha256[:12]}… now, concepts here were made for "
            f"{known.card.sha256[:12]}…: bring those back, or give another --data"
        )
    described = DescribedBase(base=arguments.base, fedshow=__version__, card=card, files=files)
    folder.keep_base(described)


if __name__ == "__main__":
    main()
