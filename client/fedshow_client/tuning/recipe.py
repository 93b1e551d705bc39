"""How a concept is tuned: the paper's settings, scaled to the base and to the method."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedshow.documents import first_fault
from fedshow.errors import InvalidInput

if TYPE_CHECKING:  # `fedshow check` reads recipes without torch
    from fedshow.edlora.methods import Method
    from fedshow.families import Base

SMALL_TOKEN_DIM = 512
"""Bases with narrower token embeddings learn faster and have seen square pictures only."""


class Recipe(BaseModel):
    """All numbers of one tuning run; they travel in the concept file's header."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rank: int = Field(4, ge=1, le=1024)
    alpha: float = Field(4.0, gt=0, le=65536)
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
    min_snr: float = Field(0.0, ge=0)
    """Limit of the signal-to-noise ratio in the loss's weights (5 in its paper); 0 leaves it off."""

    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of the moving average that the concept file gets; 0 leaves it off."""

    attention_weight: float = Field(0.01, ge=0)
    """Weight of the cross-attention regularisation; images without a mask have none."""

    attention_follow: bool = True
    """The last word's map follows the mask; else it only stays inside it, as the others do."""

    background_weight: float = Field(0.0, ge=0, le=1)
    """How much the loss counts outside the subject's mask; 0 in the paper."""

    norm_limit: float = Field(1.5, gt=0)
    """Token rows grow no longer than this multiple of the class word's (0.55 in all, in SD 1.x)."""

    variants: int = Field(8, ge=1, le=64)
    """Augmented versions of each image whose latents are kept."""

    vary_latents: bool = True
    """Latents are drawn from the VAE's distribution at every step, not always its mean."""

    aspect: float = Field(2.0, ge=1, le=4)
    """Longest to shortest edge of the buckets, at most; 1 makes every crop square."""

    flip: bool = True
    """Half of the variants are mirrored; not for faces and logos that have a left and a right."""

    zoom: float = Field(1.15, ge=1, le=4)
    """Largest magnification before the random crop."""

    zoom_out: float = Field(0.85, gt=0, le=1)
    """Smallest; below 1 the picture no longer fills the crop, and the loss ignores what it leaves."""

    shuffle_captions: bool = True
    """Phrases between commas change places; the concept's stays first."""

    @classmethod
    def for_base(cls, base: "Base", method: str = "ed-lora", **changes: float | int | bool) -> Self:
        """The recipe of a method on a base, with some values changed; small bases learn faster.

        Raises InvalidInput for a value out of range and for methods that do not exist.
        """
        from fedshow.edlora.methods import method_named

        chosen = method_named(method)
        defaults = SMALL if base.card.token_dim < SMALL_TOKEN_DIM else {}
        values = {**defaults, **_for_method(chosen, bool(defaults)), **changes}
        if "rank" in changes:
            values.setdefault("alpha", float(changes["rank"]))  # the update's size stays the same
        if chosen.whole:
            values |= {"rank": chosen.rank(1, chosen.layers(base.family, base.layers))}
            values |= {"alpha": float(values["rank"])}
        return cls.of(values)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The recipe with these values; raises InvalidInput that names the first impossible one."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            fault = first_fault(error)
            raise InvalidInput(f"{fault.where} = {fault.given}: {fault.says}") from None


SMALL: dict[str, float | int | bool] = {
    "steps": 400,
    "lr_tokens": 1e-2,
    "lr_text": 2e-4,
    "lr_unet": 2e-3,
    "lr_self_attention": 5e-5,
    "background_weight": 1.0,  # else its few layers paint over the background
    "vary_latents": False,  # toyworld's VAE was trained for its means alone
    "aspect": 1.0,
    "zoom_out": 1.0,
}


def _for_method(method: "Method", small: bool) -> dict[str, float]:
    """What a method's own paper or a search over learning rates asks for."""
    if method.whole:
        return {"lr_unet": 5e-4 if small else 1e-5}
    if method.name == "ed-lora" and small:
        return {"lr_unet": 1e-3}  # its words carry much of the identity: more overdoes the pictures
    if method.adapts == "nothing":
        return {"lr_tokens": 2e-2 if small else 5e-3}
    return {}
