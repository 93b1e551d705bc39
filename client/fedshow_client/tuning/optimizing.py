"""AdamW over a concept's parameters: one learning rate per kind, linear decay, limits, averages."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fedshow.families.family import Family
from fedshow_client.tuning.recipe import Recipe

Parameters = Mapping[str, nn.Parameter]
"""By concept-file key."""


def make_optimizer(parameters: Parameters, family: Family, recipe: Recipe) -> torch.optim.AdamW:
    """Groups: token rows, text encoder, the denoiser's cross-attention, its self-attention."""
    groups: dict[str, dict[str, Any]] = {
        "tokens": {"lr": recipe.lr_tokens, "weight_decay": 0.0},
        "text": {"lr": recipe.lr_text},
        "cross": {"lr": recipe.lr_unet},
        "self": {"lr": recipe.lr_self_attention},
    }
    members: dict[str, list[nn.Parameter]] = {kind: [] for kind in groups}
    for key, parameter in parameters.items():
        members[_kind(key, family)].append(parameter)
    chosen = [
        {"params": members[kind], "base_lr": settings["lr"], **settings}
        for kind, settings in groups.items()
        if members[kind]
    ]
    return torch.optim.AdamW(chosen, weight_decay=recipe.weight_decay, fused=True)


def _kind(key: str, family: Family) -> str:
    layer = key.rpartition(".lora_")[0]
    if key.startswith("tokens."):
        return "tokens"
    if layer.startswith("text_encoder"):
        return "text"
    return "self" if family.is_self_attention(layer) else "cross"


def set_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Every group at `share` of its own learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * share


class NormLimit:
    """No token row grows longer than the limit; it goes on turning.

    Mix-of-Show's code stops an embedding for good once it passes 0.55. Fast rows then freeze after a few
    steps: on toyworld the embedding alone reached half the identity that it reaches by being kept short.
    """

    def __init__(self, rows: list[nn.Parameter], limit: float) -> None:
        self.rows, self.limit = rows, limit

    @torch.no_grad()
    def apply(self) -> None:
        """Scales rows that have become too long back to the limit."""
        for row in self.rows:
            row.mul_((self.limit / row.norm(dim=1, keepdim=True)).clamp(max=1))


class Average:
    """Exponential moving average of all parameters; `decay` 0 leaves it off."""

    def __init__(self, parameters: Parameters, decay: float) -> None:
        self.parameters, self.decay = parameters, decay
        self.shadow: dict[str, Tensor] = {}
        if decay:
            self.shadow = {key: value.detach().clone() for key, value in parameters.items()}

    @torch.no_grad()
    def step(self, index: int) -> None:
        """Follows the parameters; the first steps weigh more, so that the start is forgotten."""
        decay = min(self.decay, (1 + index) / (10 + index))
        for key, kept in self.shadow.items():
            kept.lerp_(self.parameters[key], 1 - decay)

    def values(self) -> dict[str, Tensor]:
        """What tuning has learnt so far: the averages, or the parameters themselves."""
        return self.shadow or {key: value.detach() for key, value in self.parameters.items()}

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block the parameters have the averages' values: what the concept file gets."""
        own = {key: self.parameters[key].detach().clone() for key in self.shadow}
        self._set(self.shadow)
        try:
            yield
        finally:
            self._set(own)

    @torch.no_grad()
    def _set(self, values: Mapping[str, Tensor]) -> None:
        for key, value in values.items():
            self.parameters[key].copy_(value)
