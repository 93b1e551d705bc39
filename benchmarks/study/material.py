"""What a study is made of: concepts to teach, prompts to draw, and who judges the pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from PIL.Image import Image
from torch import Tensor

Where = Literal["whole", "left", "right"]
Read = dict[str, Any]
"""What was read of one concept's pictures: `identity` and `text`, a list each, prompt by prompt."""


class Concept(Protocol):
    """One thing to teach."""

    @property
    def name(self) -> str:
        """As prompts call it, in angle brackets."""

    @property
    def class_word(self) -> str:
        """The word that it starts from."""

    @property
    def group(self) -> str:
        """Which of the paper's three it belongs to: characters, objects, scenes."""


@dataclass(frozen=True)
class Ask:
    """Something that a prompt asks for beside the concept: an attribute that an encoder reads, and where."""

    attribute: str
    label: str
    where: Where = "whole"


@dataclass(frozen=True)
class Prompt:
    """A text; what it asks for, as far as somebody reads that; and where the concept should be."""

    type: str
    text: str
    asks: tuple[Ask, ...] = ()
    where: Where = "whole"


class Material(Protocol):
    """Everything that differs between a study of toyworld and one of anybody's pictures."""

    @property
    def base(self) -> str:
        """The base model's name or folder."""

    @property
    def concepts(self) -> Mapping[str, Concept]:
        """All of them by name."""

    @property
    def types(self) -> tuple[str, ...]:
        """What prompts vary."""

    @property
    def rivals(self) -> frozenset[str]:
        """Names of those that are of one class, so that they conflict."""

    @property
    def generic(self) -> tuple[str, ...]:
        """Prompts without a concept, to see how far a fusion moves the base."""

    def prompts_of(self, name: str) -> tuple[Prompt, ...]:
        """What a concept is drawn with: types in the order and numbers of all other concepts."""

    def images(self, name: str) -> Path:
        """The folder of its private pictures."""

    def read(self, name: str, images: Sequence[Image], prompts: Sequence[Prompt]) -> Read:
        """Of one picture of each prompt: cosine to the private pictures, and how much the text is there."""

    def known(self, name: str) -> Tensor:
        """`[M, D]` of unit length, its private pictures as its judge sees them."""

    def facts(self, names: Sequence[str]) -> Mapping[str, Any]:
        """Who judges these, and whatever else decides what is read, beside concepts and prompts."""
