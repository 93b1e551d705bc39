"""What an exported file says about itself under the metadata key `fedshow`: an allow-list, as in concepts."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from fedshow import __version__
from fedshow.concepts.header import BaseRef, FamilyName
from fedshow.concepts.names import CLASS, NAME
from fedshow.documents import BadDocument, FirstFormat, read_document

KEY = "fedshow"


class Taught(BaseModel):
    """One concept in a file."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str = Field(pattern=f"^(?:{NAME.pattern})$")
    class_word: str = Field(alias="class", pattern=f"^(?:{CLASS.pattern})$")
    words: tuple[str, ...]


class About(BaseModel):
    """Which base a file is for, what it teaches, and what the format could not hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: FirstFormat = 1
    family: FamilyName
    base: BaseRef
    slots: PositiveInt
    concepts: tuple[Taught, ...]
    release: str | None = Field(None, pattern=r"^[0-9a-f]{16}$")
    tokens: Literal["layers", "mean"] = "layers"
    """Each layer's own row of a word, or their mean where the format has but one."""
    note: str = Field("", max_length=1000)
    """What was lost, in words."""
    fedshow: str = Field(__version__, pattern=r"^[0-9a-z.+-]{1,32}$")

    @property
    def title(self) -> str:
        """A name for the file: that of its concept or, of several, of its release."""
        if self.release is not None:
            return f"fedshow-{self.release}"
        return self.concepts[0].name if self.concepts else self.family

    @property
    def words(self) -> tuple[str, ...]:
        """The words of all concepts."""
        return tuple(word for concept in self.concepts for word in concept.words)

    def metadata(self) -> dict[str, str]:
        """As it stands in a safetensors header."""
        return {KEY: self.dump()}

    def dump(self) -> str:
        """As JSON."""
        return self.model_dump_json(by_alias=True)

    @classmethod
    def found_in(cls, metadata: Mapping[str, str]) -> Self | None:
        """What a file that fedshow has written says of itself; None of any other."""
        try:
            return read_document(cls, metadata[KEY]) if KEY in metadata else None
        except BadDocument:
            return None
