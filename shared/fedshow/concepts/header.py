"""What a concept file says about itself: an allow-list without room for anything private."""

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from fedshow.concepts.names import CLASS, NAME, words_of
from fedshow.digests import DIGEST
from fedshow.documents import BadDocument, FirstFormat, Moment, read_document
from fedshow.errors import RefusedConcept

Sha256 = Annotated[str, StringConstraints(pattern=f"^{DIGEST.pattern}$")]
BaseName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?$"
    ),
]
"""`toyworld`, `local` or a hub id: never a path."""

FamilyName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Number = int | float | bool
MAX_RANK = 1024
Method = Literal["ed-lora", "lora", "p-plus", "custom-diffusion", "textual-inversion"]


class BaseRef(BaseModel):
    """Which base model: a public name and the fingerprint that decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: BaseName
    sha256: Sha256


class ConceptHeader(BaseModel):
    """The JSON under the one metadata key `fedshow` of a concept file."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False
    )

    format: FirstFormat = 1
    family: FamilyName
    base: BaseRef
    name: str = Field(pattern=f"^(?:{NAME.pattern})$")
    class_word: str = Field(alias="class", pattern=f"^(?:{CLASS.pattern})$")
    words: tuple[str, ...] = Field(min_length=1, max_length=4)
    slots: int = Field(ge=1, le=256)
    method: Method = "ed-lora"
    rank: int = Field(ge=1, le=MAX_RANK)
    alpha: float = Field(gt=0, le=65536)
    recipe: dict[Key, Number] = Field(default_factory=dict, max_length=64)
    metrics: dict[Key, Number] = Field(default_factory=dict, max_length=64)
    created: Moment
    fedshow: str = Field(pattern=r"^[0-9a-z.+-]{1,32}$")

    @model_validator(mode="after")
    def _words_belong_to_the_name(self) -> Self:
        if self.words != words_of(self.name, len(self.words)):
            raise ValueError(f"words {self.words} are not those of {self.name!r}")
        return self

    @property
    def scale(self) -> float:
        """The factor s = alpha / rank before B·A."""
        return self.alpha / self.rank

    @classmethod
    def parse(cls, text: str) -> Self:
        """The header in `text`; raises RefusedConcept naming the field and the value."""
        try:
            return read_document(cls, text)
        except BadDocument as error:
            value = f"{error.value!s:.80}"
            raise RefusedConcept(
                f"concept header: {error.where or 'header'} = {value!r}: {error.problem}"
            ) from None

    def dump(self) -> str:
        """The header as JSON, keys as in the file."""
        return self.model_dump_json(by_alias=True)
