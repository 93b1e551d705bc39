"""Which safetensors files hold the weights of a component, and whether they are whole.

Costs little: of a file its header is read.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fedshow.documents import MAX_BYTES, read_json
from fedshow.errors import InvalidInput

STEMS = ("diffusion_pytorch_model", "model")
"""What diffusers and transformers call weights."""

VARIANTS = ("", ".fp16")
"""Full precision first; a folder that has halves alone is as good."""

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
PICKLE = "is a pickle, which can run code when it is opened: get the weights as safetensors"
POINTER = b"version https://git-lfs.github.com/spec/"
LENGTH_BYTES = 8


@dataclass(frozen=True)
class Header:
    """What stands before the numbers of a safetensors file."""

    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]
    size_bytes: int
    """Of the whole file, as the header tells."""


class Place(NamedTuple):
    """Where a component's weight lies among stored ones."""

    key: str
    third: int | None = None
    """Which third of the rows it is, where several weights lie in one matrix."""

    turned: bool = False
    """Whether rows and columns are exchanged."""


def choose(names: Collection[str]) -> list[str]:
    """Of a component's files those to read: weights in full precision, else halves, shards with their index.

    Empty when there are no safetensors.
    """
    for variant in VARIANTS:
        for stem in STEMS:
            if (index := f"{stem}.safetensors.index{variant}.json") in names:
                return [index, *_shards(names, stem, variant)]
            if (plain := f"{stem}{variant}.safetensors") in names:
                return [plain]
    return []


def _shards(names: Collection[str], stem: str, variant: str) -> Iterator[str]:
    """Newer diffusers put the variant behind the numbers, older ones before them."""
    numbers, mark = r"-\d{5}-of-\d{5}", re.escape(variant)
    pattern = re.compile(rf"{re.escape(stem)}(?:{mark}{numbers}|{numbers}{mark})\.safetensors")
    return (name for name in sorted(names) if pattern.fullmatch(name))


def weights_in(folder: Path) -> list[Path]:
    """The whole files with the weights of the component in `folder`.

    Raises InvalidInput naming the file that is missing, cut off, or none.
    """
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    chosen = choose(names)
    if not chosen:
        raise InvalidInput(_nothing_in(folder, names))
    files = [folder / chosen[0]]
    if chosen[0].endswith(".json"):
        files = _named_by(folder / chosen[0])
    for file in files:
        read_header(file)
    return files


def _nothing_in(folder: Path, names: Collection[str]) -> str:
    pickles = sorted(name for name in names if name.endswith(PICKLES))
    if pickles:
        return f"{folder / pickles[0]} {PICKLE}"
    return f"{folder / STEMS[0]}.safetensors is missing, and so is {STEMS[1]}.safetensors"


def _named_by(index: Path) -> list[Path]:
    """The shards that an index names."""
    try:
        found = set(dict(read_json(index.read_bytes())["weight_map"]).values())
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInput(f"{index} is no index of weights: {error!s:.80}") from None
    for name in sorted(map(str, found)):
        if Path(name).name != name or not (index.parent / name).is_file():
            raise InvalidInput(f"{index.parent / name} is missing; {index.name} names it")
    return [index.parent / name for name in sorted(found)]


def read_header(file: Path) -> Header:
    """The header of a safetensors file that is whole; raises InvalidInput naming the file."""
    if file.suffix in PICKLES:
        raise InvalidInput(f"{file} {PICKLE}")
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            start = opened.read(len(POINTER))
            if start == POINTER:
                raise InvalidInput(
                    f"{file} is a pointer of git-lfs, not the weights: `git lfs pull` brings them"
                )
            length = int.from_bytes(start[:LENGTH_BYTES], "little")
            opened.seek(LENGTH_BYTES)
            text = opened.read(min(length, MAX_BYTES + 1))
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from None
    if size < LENGTH_BYTES or (size < LENGTH_BYTES + length and text[:1] == b"{"):
        raise InvalidInput(f"{file} is cut off: only {size} bytes are there")
    header = _parse(file, text, length)
    if size != header.size_bytes:
        what = "cut off" if size < header.size_bytes else "longer than it says"
        raise InvalidInput(
            f"{file} is {what}: {size} bytes, its header tells of {header.size_bytes}"
        )
    return header


def _parse(file: Path, text: bytes, length: int) -> Header:
    try:
        found: dict[str, Any] = read_json(text)
        metadata = {str(key): str(value) for key, value in found.pop("__metadata__", {}).items()}
        shapes = {name: tuple(map(int, about["shape"])) for name, about in found.items()}
        ends = [int(about["data_offsets"][1]) for about in found.values()]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidInput(f"{file} is no safetensors file: {error!s:.80}") from None
    return Header(shapes, metadata, LENGTH_BYTES + length + max(ends, default=0))
