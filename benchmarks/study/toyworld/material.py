"""toyworld's part of a study: 24 concepts of its own, drawn; prompts and judges of what it can show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image
from torch import Tensor

from benchmarks.fusing.drawing import GENERIC
from benchmarks.study.material import Prompt, Read
from benchmarks.study.toyworld import reading
from benchmarks.study.toyworld.concepts import CONCEPTS, ROBOTS, Concept, draw_folder
from benchmarks.study.toyworld.eye import eye_file
from benchmarks.study.toyworld.prompts import TYPES, prompts_of
from fedshow.files import digest


@dataclass(frozen=True)
class Toyworld:
    """As `material.Material`; the pictures and the study's own encoder lie in a folder."""

    work: Path

    base = "toyworld"
    types = TYPES
    generic = GENERIC
    rivals = frozenset(ROBOTS)

    @property
    def concepts(self) -> Mapping[str, Concept]:
        """All of them by name."""
        return CONCEPTS

    def prompts_of(self, name: str) -> tuple[Prompt, ...]:
        """The twenty prompts of a concept."""
        return prompts_of(name)

    def images(self, name: str) -> Path:
        """The folder of its private pictures, drawn once."""
        return draw_folder(CONCEPTS[name], self.work / "people")

    def read(self, name: str, images: Sequence[Image], prompts: Sequence[Prompt]) -> Read:
        """Cosine to the private pictures where the concept should be; share of what is asked for."""
        return reading.read(name, images, prompts, self.work)

    def known(self, name: str) -> Tensor:
        """`[M, D]` of a concept's private pictures, as its judge sees them."""
        return reading.known(name, self.work).features

    def facts(self, names: Sequence[str]) -> Mapping[str, Any]:
        """Which encoder of the study's own reads, where it does."""
        eye, groups = eye_file(self.work), {CONCEPTS[name].group for name in names}
        read = eye.is_file() and groups - {"characters"}
        return {"eye": digest(eye)[:16] if read else None}
