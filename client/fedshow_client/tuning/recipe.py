"""How a concept is tuned: the paper's settings, scaled to the base."""

from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedshow.errors import InvalidInput

if TYPE_CHECKING:  # `check` reads recipes without torch
    from fedshow.families import Base


class Recipe(BaseModel):
    """All numbers of one tuning run; they travel in the concept file's header."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(4, ge=1, le=256)
    alpha: float = Field(4.0, gt=0)
    steps: int = Field(800, ge=1, le=1_000_000)
    batch: int = Field(4, ge=1, le=256)
    seed: int = Field(0, ge=0, lt=1 << 31)
    lr_tokens: float = Field(1e-3, ge=0)
    lr_text: float = Field(1e-5, ge=0)
    lr_unet: float = Field(1e-4, ge=0)
    lr_self_attention: float = Field(1e-4, ge=0)
    """Of the U-Net's self-attention, where concepts cannot be told apart and so fuse worst."""

    weight_decay: float = Field(0.01, ge=0)
    noise_offset: float = Field(0.01, ge=0)
    attention_weight: float = Field(0.01, ge=0)
    """Weight of the cross-attention regularisation; images without a mask have none."""

    background_weight: float = Field(0.0, ge=0, le=1)
    """How much the loss counts outside the subject's mask; 0 in the paper."""

    norm_limit: float = Field(1.5, gt=0)
    """Token rows stop growing at this multiple of the class word's norm (0.55 in all, in SD 1.x)."""

    variants: int = Field(8, ge=1, le=64)
    """Augmented versions of each image whose latents are kept."""

    flip: bool = True
    zoom: float = Field(1.15, ge=1, le=4)
    """Largest magnification before the random crop."""

    zoom_out: float = Field(0.85, gt=0.25, le=1)
    """Smallest magnification; below 1 the picture is padded, and the loss ignores the padding."""

    aspect: float = Field(2.0, ge=1, le=4)
    """Images go to sizes whose longer edge is at most this many times the shorter; 1 is squares only."""

    shuffle_captions: bool = True
    """Whether the phrases between a written caption's commas change places, the concept's own first."""

    @classmethod
    def for_base(cls, base: "Base", **changes: float | int | bool) -> Self:
        """The recipe for a base, with some values changed; raises InvalidInput for a value out of range."""
        return cls.for_width(base.card.token_dim, **changes)

    @classmethod
    def for_width(cls, token_dim: int, **changes: float | int | bool) -> Self:
        """As `for_base`, told by the width of the base's token embeddings: small bases learn faster."""
        small = {"steps": 200, "lr_tokens": 5e-3, "lr_text": 2e-4}
        small |= {"lr_unet": 2e-3, "lr_self_attention": 5e-5}
        small |= {"background_weight": 1.0}  # else its few layers paint over the background
        small |= {"aspect": 1.0, "zoom_out": 1.0}  # trained on whole squares only
        try:
            return cls.model_validate((small if token_dim < 512 else {}) | changes)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidInput(f"{where} = {first['input']!r}: {first['msg']}") from None
