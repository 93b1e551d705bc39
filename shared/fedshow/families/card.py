"""What one base model looks like from outside, in numbers: enough to check a concept without torch."""

from pydantic import BaseModel, ConfigDict, Field

from fedshow.concepts.header import BaseRef, Sha256


class BaseCard(BaseModel):
    """Name, fingerprint and the layers of a base that take adapters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    sha256: Sha256
    family: str
    slots: int = Field(ge=1)
    token_dim: int = Field(ge=1)
    layers: dict[str, tuple[int, int]]
    """`unet.<module>` or `text_encoder.<module>` to (d_in, d_out)."""

    @property
    def ref(self) -> BaseRef:
        """The part that concepts and releases carry."""
        return BaseRef(name=self.name, sha256=self.sha256)
