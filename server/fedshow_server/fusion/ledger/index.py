"""ledger.json: what the ledger holds. Replacing this one file is what makes a change happen."""

import json
import os
from collections.abc import Collection, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedshow.concepts.header import BaseRef, Sha256
from fedshow.documents import first_fault
from fedshow.errors import BaseMismatch, Damaged, InvalidInput
from fedshow.files import write_atomically
from fedshow.releases import FileEntry
from fedshow_server.fusion.ledger.receipt import Receipt

FILE_NAME = "ledger.json"
VERSION = 4
"""Goes up whenever sums or records of before cannot be added to those of now."""

Weights = Mapping[str, float]
"""Concept name to weight: one set that can be fused."""

Ranks = Mapping[str, int]
"""Layer to the rank of a concept's adapter there."""


class Entry(BaseModel):
    """One concept in the ledger."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Sha256
    class_word: str
    scale: float
    weight: float
    norms: dict[str, float]
    """Layer to the spectral norm of the concept's update."""
    ranks: dict[str, int] = Field(default_factory=dict)
    """Layer to the rank of the concept's adapter; earlier ledgers have none, but the records know."""
    record: FileEntry


class SumsEntry(BaseModel):
    """The sums of one set of concepts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: dict[str, float]
    file: FileEntry


class Index(BaseModel):
    """Everything but the numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = VERSION
    base: BaseRef
    recording: str
    """How inputs are recorded; statistics of different ways do not add up."""

    concepts: dict[str, Entry] = Field(default_factory=dict)
    generic: dict[str, FileEntry] = Field(default_factory=dict)
    """Class word to the base's own moments with it; '' are those of prompts without one."""

    sums: dict[Sha256, SumsEntry] = Field(default_factory=dict)
    """Hash of a set to its sums, the oldest first; all of them can be made again."""

    receipts: tuple[Receipt, ...] = ()
    """Of every removal, the oldest first."""

    @property
    def weights(self) -> dict[str, float]:
        """All concepts with their own weights."""
        return {name: entry.weight for name, entry in sorted(self.concepts.items())}

    def set_hash(self, weights: Weights) -> str:
        """sha256 that depends on base, recording, concepts and weights, not on their order."""
        members = sorted((name, self.concepts[name].sha256, w) for name, w in weights.items())
        content = [self.version, self.base.sha256, self.recording, members]
        return sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()

    def classes(self, names: Collection[str]) -> set[str]:
        """The class words of these concepts."""
        return {self.concepts[name].class_word for name in names}

    def write(self, folder: Path) -> None:
        """Makes this the state of the ledger in `folder`: whole, and still there after a crash."""
        write_atomically(folder / FILE_NAME, self.model_dump_json(indent=1).encode())
        sync_folder(folder)

    @classmethod
    def read(cls, folder: Path, base: BaseRef, recording: str) -> Self:
        """The ledger's state, or that of a new one when nothing is there.

        Raises Damaged (not readable), InvalidInput (made by another version or from other
        recordings) and BaseMismatch; nothing is changed.
        """
        file = folder / FILE_NAME
        if not file.exists():
            return cls(base=base, recording=recording)
        found = cls._parse(file)
        if found.base.sha256 != base.sha256:
            raise BaseMismatch(
                f"ledger {folder} belongs to base {found.base.name} ({found.base.sha256[:12]}), "
                f"this is {base.name} ({base.sha256[:12]}): use another folder"
            )
        if found.recording != recording:
            raise InvalidInput(
                f"ledger {folder} was recorded as {found.recording!r}, now it would be "
                f"{recording!r}: use another folder"
            )
        return found

    @classmethod
    def _parse(cls, file: Path) -> Self:
        try:
            content = json.loads(file.read_bytes())
            version = content["version"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Damaged(f"{file}: no ledger: {error!s:.80}") from None
        if version != VERSION:
            raise InvalidInput(
                f"ledger {file.parent} has version {version}, this fedshow needs {VERSION}: "
                "use another folder and fuse the concepts again"
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            fault = first_fault(error)
            raise Damaged(f"{file}: {fault.where}: {fault.says}") from None


def sync_folder(folder: Path) -> None:
    """Returns when names in `folder` are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
