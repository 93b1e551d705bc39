"""AdamW over a concept's parameters: one learning rate per kind, linear decay, limits, averages."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fedshow.concepts.keys import is_token_key
from fedshow.families.family import Family
from fedshow_client.tuning.recipe import Recipe

Parameters = Mapping[str, nn.Parameter]
"""By concept-file key."""


class JoinedAdamW(torch.optim.AdamW):
    """AdamW over one long vector per group, of which parameters and gradients become views.

    A hundred small matrices then take as long as a large one. Gradients stay where they are: set them to
    zero, not to None.
    """

    def __init__(
        self, groups: Mapping[str, dict[str, Any]], members: Mapping[str, Parameters]
    ) -> None:
        self.members = [members[kind] for kind in groups]
        super().__init__(
            [{"params": [_join(members[kind])], **own} for kind, own in groups.items()], fused=True
        )
        for vector in self._vectors():
            moments = {name: torch.zeros_like(vector) for name in ("exp_avg", "exp_avg_sq")}
            self.state[vector] = {"step": torch.zeros((), device=vector.device), **moments}

    def _vectors(self) -> list[nn.Parameter]:
        return [group["params"][0] for group in self.param_groups]

    def tensors(self) -> dict[str, Tensor]:
        """Step counts and moments by what they are and concept-file key; writing to them changes them."""
        found: dict[str, Tensor] = {}
        for members, vector in zip(self.members, self._vectors(), strict=True):
            for name, value in self.state[vector].items():
                parts = _parts(value, members) if value.ndim else [value] * len(members)
                found |= {f"{name}.{key}": part for key, part in zip(members, parts, strict=True)}
        return found


def _join(members: Parameters) -> nn.Parameter:
    """All values in a row; the members, and their gradients, are parts of it from now on."""
    vector = nn.Parameter(torch.cat([member.detach().flatten() for member in members.values()]))
    vector.grad = torch.zeros_like(vector)
    parts = zip(_parts(vector.data, members), _parts(vector.grad, members), strict=True)
    for member, (value, gradient) in zip(members.values(), parts, strict=True):
        member.data, member.grad = value, gradient
    return vector


def _parts(vector: Tensor, members: Parameters) -> list[Tensor]:
    """The piece of each member, in its shape."""
    pieces = torch.split(vector, [member.numel() for member in members.values()])
    return [part.view_as(own) for part, own in zip(pieces, members.values(), strict=True)]


def make_optimizer(parameters: Parameters, family: Family, recipe: Recipe) -> JoinedAdamW:
    """Groups: token rows, text encoder, the denoiser's cross-attention, its self-attention."""
    rates = {
        "tokens": recipe.lr_tokens,
        "text": recipe.lr_text,
        "cross": recipe.lr_unet,
        "self": recipe.lr_self_attention,
    }
    members: dict[str, dict[str, nn.Parameter]] = {}
    for key, parameter in parameters.items():
        members.setdefault(_kind(key, family), {})[key] = parameter
    decay = {kind: 0.0 if kind == "tokens" else recipe.weight_decay for kind in rates}
    groups = {
        kind: {"lr": rate, "base_lr": rate, "weight_decay": decay[kind]}
        for kind, rate in rates.items()
        if kind in members
    }
    return JoinedAdamW(groups, members)


def _kind(key: str, family: Family) -> str:
    layer = key.rpartition(".lora_")[0]
    if is_token_key(key):
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
