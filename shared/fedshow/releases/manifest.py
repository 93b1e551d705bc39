"""manifest.json: what a release consists of, down to the last byte."""

import json
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from fedshow.concepts.header import BaseRef, Key, Number, Sha256
from fedshow.concepts.names import NAME
from fedshow.documents import BadDocument, FirstFormat, Moment, read_document
from fedshow.errors import Damaged
from fedshow.releases.file_names import MANIFEST, SIGNATURE

BESIDE = frozenset({MANIFEST, SIGNATURE})
"""Files of a release that its manifest does not list: itself and what is said of it."""


PIECE_BYTES = 1 << 20
DIGEST_BYTES = 32


class FileEntry(BaseModel):
    """Digest and size of one file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Sha256
    size_bytes: int = Field(ge=0)


class Member(BaseModel):
    """One concept in the release, by the digest of its file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=f"^(?:{NAME.pattern})$")
    sha256: Sha256
    weight: float = 1.0


class Manifest(BaseModel):
    """Everything a release contains and where it came from."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, ser_json_bytes="base64", val_json_bytes="base64"
    )

    format: FirstFormat = 1
    release: str = Field(pattern=r"^[0-9a-f]{16}$")
    created: Moment
    base: BaseRef
    family: str = Field(pattern=r"^[a-z0-9-]{1,32}$")
    concepts: tuple[Member, ...]
    fusion: dict[Key, str | Number]
    files: dict[str, FileEntry]
    """Path inside the folder (forward slashes) to digest; manifest.json itself is not listed."""
    pieces: dict[str, bytes] = {}
    """Path of a larger file to the sha256 of its pieces, one after another: what is wrong with a
    file can be found and fetched again without the rest of it."""

    @field_validator("files")
    @classmethod
    def _paths_stay_inside(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for path in files:
            parts = path.split("/")
            if (
                {"", ".", ".."}.intersection(parts)
                or "\\" in path
                or not path.isprintable()
                or path in BESIDE
            ):
                raise ValueError(f"path {path!r} is not inside the release")
            if folder := next(
                (up for up in accumulate(parts[:-1], "{}/{}".format) if up in files), None
            ):
                raise ValueError(f"path {path!r} lies in {folder!r}, which is a file")
        return files

    @field_validator("concepts")
    @classmethod
    def _each_concept_once(cls, concepts: tuple[Member, ...]) -> tuple[Member, ...]:
        if len({member.name for member in concepts}) < len(concepts):
            raise ValueError("a concept stands there twice")
        return concepts

    @model_validator(mode="after")
    def _pieces_make_files(self) -> Self:
        for path, digests in self.pieces.items():
            if path not in self.files:
                raise ValueError(f"pieces of {path!r}, which is not listed")
            size = self.files[path].size_bytes
            if len(digests) != -(-size // PIECE_BYTES) * DIGEST_BYTES:
                raise ValueError(f"pieces of {path!r}: {len(digests)} bytes for {size} of the file")
        return self

    @property
    def content_id(self) -> str:
        """The id that follows from the content; `release` must be the same."""
        return release_id(self.base, self.concepts, dict(self.fusion))

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """The manifest in `content`; raises Damaged when it is not one."""
        try:
            return read_document(cls, content)
        except BadDocument as error:
            raise Damaged(f"{MANIFEST}: {error}") from None

    def dump(self) -> bytes:
        """The manifest as it is stored."""
        return self.model_dump_json(indent=2).encode()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The manifest of a release folder; raises Damaged."""
        try:
            content = (folder / MANIFEST).read_bytes()
        except OSError as error:
            raise Damaged(f"{folder} is no release folder: {MANIFEST}: {error.strerror}") from error
        return cls.parse(content)


def list_files(folder: Path) -> tuple[dict[str, FileEntry], dict[str, bytes]]:
    """Every file of a folder as a manifest has it, and the pieces of those that have several."""
    files, pieces = {}, {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        path = file.relative_to(folder).as_posix()
        files[path], digests = _looked_through(file)
        if len(digests) > DIGEST_BYTES:
            pieces[path] = digests
    return files, pieces


def _looked_through(file: Path) -> tuple[FileEntry, bytes]:
    whole, size, digests = sha256(), 0, b""
    with file.open("rb") as opened:
        while piece := opened.read(PIECE_BYTES):
            whole.update(piece)
            digests += sha256(piece).digest()
            size += len(piece)
    return FileEntry(sha256=whole.hexdigest(), size_bytes=size), digests


def release_id(
    base: BaseRef, concepts: tuple[Member, ...], fusion: dict[str, str | int | float | bool]
) -> str:
    """16 hexadecimal digits that depend on base, concepts and fusion settings, not on their order."""
    members = sorted((m.name, m.sha256, m.weight) for m in concepts)
    content = json.dumps([base.sha256, members, fusion], sort_keys=True, separators=(",", ":"))
    return sha256(content.encode()).hexdigest()[:16]
