"""What one base model looks like from outside, in numbers: enough to check a concept without torch."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints

from fedshow.concepts.header import BaseName, BaseRef, FamilyName, Sha256

LayerName = Annotated[
    str,
    StringConstraints(
        pattern=r"^(unet|transformer|text_encoder|text_encoder_2)(\.[A-Za-z0-9_]{1,64}){1,16}$"
    ),
]


class BaseCard(BaseModel):
    """Name, fingerprint and the layers of a base that take adapters; servers send it to nodes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: BaseName
    sha256: Sha256
    family: FamilyName
    slots: PositiveInt
    token_dim: PositiveInt
    token_dim_2: PositiveInt | None = Field(None, exclude_if=lambda dim: dim is None)
    """Of the second text encoder, in families that have one."""

    layers: dict[LayerName, tuple[PositiveInt, PositiveInt]] = Field(max_length=10_000)
    """`<part>.<module>` to (d_in, d_out), of `unet`, `transformer`, `text_encoder` and `text_encoder_2`."""

    @property
    def token_dims(self) -> dict[str, int]:
        """Width of every text encoder's token embeddings, by what keys of its word rows begin with."""
        return {"tokens": self.token_dim} | (
            {} if self.token_dim_2 is None else {"tokens_2": self.token_dim_2}
        )

    @property
    def ref(self) -> BaseRef:
        """The part that concepts and releases carry."""
        return BaseRef(name=self.name, sha256=self.sha256)
