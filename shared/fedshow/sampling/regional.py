"""Regionally controllable sampling (Mix-of-Show, section 3.4).

In every cross-attention layer the picture outside all regions attends to the background's prompt, and
each region to its own prompt alone; where several count, their outputs are averaged by their shares.
Shapes: B pictures (twice with guidance), Q places (queries), C = 1 + R contexts, T tokens, D width, E heads.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from fedshow.sampling.coverage import shares
from fedshow.sampling.regions import Overlap, Region, Size


@dataclass(frozen=True)
class Patch:
    """The places where one context counts."""

    context: int
    """0 is the background, k the k-th region."""

    at_P: Tensor | None
    """Their numbers; None: everywhere."""

    share_P1: Tensor | None
    """Its share of each; None: all of them."""


EVERYWHERE = [Patch(0, None, None)]

Listener = Callable[[int, int, Tensor, Tensor, float], None]
"""Told of a region, the number of places of a layer, the region's queries and keys, and their scale."""


class RegionPlan:
    """The regions of one picture and how far its denoising is, shared by all layers.

    What layers look up is made when `progress` reaches another set of regions, before the denoiser runs:
    a compiled one finds it ready.
    """

    def __init__(
        self,
        regions: Sequence[Region],
        latent: Size,
        picture: Size,
        overlap: Overlap = "average",
        like: Tensor | None = None,
    ) -> None:
        self.regions, self.latent, self.picture, self.overlap = regions, latent, picture, overlap
        self.grids = {height * width: (height, width) for height, width in _levels(latent)}
        """Height and width of each level of the denoiser by its number of places."""

        self.patches: dict[int, list[Patch]] = {}
        """By number of places the contexts that count anywhere now."""

        self.listener: Listener | None = None
        self.alone = False
        """Whether the denoiser now sees a single context's latents and features."""

        self._like = torch.zeros(()) if like is None else like
        """Has the device and type of what layers compute."""

        self._shares: dict[tuple[Any, ...], Tensor] = {}
        self._listeners: list[Callable[[], None]] = []
        self._active: tuple[int, ...] = ()
        self.progress = 0.0

    @property
    def progress(self) -> float:
        """Share of the denoising steps that are done."""
        return self._progress

    @progress.setter
    def progress(self, done: float) -> None:
        active = tuple(k for k, one in enumerate(self.regions) if one.holds_at(done))
        fresh, self._progress, self._active = active != self._active, done, active
        if fresh or not self.patches:
            self.patches = {places: self._patches(grid) for places, grid in self.grids.items()}
            for listener in self._listeners:
                listener()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls it now, and whenever other regions count than before."""
        self._listeners.append(listener)
        listener()

    @property
    def active(self) -> tuple[int, ...]:
        """Which regions count now."""
        return self._active

    @contextmanager
    def told_to(self, listener: Listener) -> Iterator[None]:
        """Within the block, every layer tells this listener of every region."""
        self.listener = listener
        try:
            yield
        finally:
            self.listener = None

    @contextmanager
    def context_alone(self) -> Iterator[None]:
        """Within the block, layers get the features of one context only, and it counts everywhere."""
        self.alone = True
        try:
            yield
        finally:
            self.alone = False

    @property
    def contexts(self) -> int:
        """How many contexts layers get features of."""
        return 1 if self.alone else 1 + len(self.regions)

    def patches_of(self, places: int) -> list[Patch]:
        """The contexts that count now in layers of so many places."""
        return EVERYWHERE if self.alone else self.patches[places]

    def shares_at(self, grid: Size) -> Tensor:
        """Share `[C, H, W]` of background and regions now, on a grid of this height and width."""
        key = (self._active, grid)
        if key not in self._shares:
            found = torch.zeros(1 + len(self.regions), *grid)
            found[0] = 1
            if self._active:
                counted = [self.regions[k] for k in self._active]
                rows = [0, *(1 + k for k in self._active)]
                found[rows] = shares(counted, grid, self.picture, self.overlap)
            self._shares[key] = found
        return self._shares[key]

    def cast(self, values: Tensor) -> Tensor:
        """These values where layers compute."""
        return values.to(self._like)

    def _patches(self, grid: Size) -> list[Patch]:
        share_CQ = self.shares_at(grid).flatten(1)
        return [self._patch(k, share_Q) for k, share_Q in enumerate(share_CQ) if share_Q.any()]

    def _patch(self, context: int, share_Q: Tensor) -> Patch:
        at_P = share_Q.nonzero()[:, 0]
        share_P = share_Q[at_P]
        return Patch(
            context,
            None if len(at_P) == len(share_Q) else at_P.to(self._like.device),
            None if (share_P == 1).all() else self.cast(share_P[:, None]),
        )


def _levels(latent: Size) -> Iterator[Size]:
    """The latent's height and width, and all below: halved upward, as stride-2 convolutions do."""
    height, width = latent
    yield height, width
    while height > 1 or width > 1:
        height, width = math.ceil(height / 2), math.ceil(width / 2)
        yield height, width


class RegionalAttention:
    """A processor for cross-attention of `[B, Q, D]` to packed contexts `[B, C*T, D]`.

    Every place is computed for the contexts that count there, so that regions which do not overlap cost
    what the plain picture costs. Blending before the output projection equals blending after it: it is
    affine, and shares sum to 1.
    """

    def __init__(self, plan: RegionPlan) -> None:
        self.plan = plan

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,  # noqa: ARG002  # what diffusers hands to every processor
    ) -> Tensor:
        """`[B, Q, D]`, as diffusers' own processor would give it for each context by itself."""
        assert attention_mask is None, "no family masks its prompts"
        queries_BEQD = heads(attn, attn.to_q(hidden_states))
        keys_BETD = heads(attn, attn.to_k(encoder_hidden_states))
        values_BETD = heads(attn, attn.to_v(encoder_hidden_states))
        tokens = encoder_hidden_states.shape[1] // self.plan.contexts
        blended_BEQD = torch.zeros_like(queries_BEQD)
        for patch in self.plan.patches_of(hidden_states.shape[1]):
            own = slice(patch.context * tokens, (patch.context + 1) * tokens)
            asking = queries_BEQD if patch.at_P is None else queries_BEQD[:, :, patch.at_P]
            if self.plan.listener is not None and patch.context:
                self.plan.listener(
                    patch.context - 1,
                    hidden_states.shape[1],
                    asking,
                    keys_BETD[:, :, own],
                    attn.scale,
                )
            output = scaled_dot_product_attention(
                asking, keys_BETD[:, :, own], values_BETD[:, :, own], scale=attn.scale
            )
            if patch.share_P1 is not None:
                output = output * patch.share_P1
            if patch.at_P is None:
                blended_BEQD = blended_BEQD + output
            else:
                blended_BEQD = blended_BEQD.index_add(2, patch.at_P, output)
        return joined(attn, blended_BEQD)


def heads(attn: Any, features_BND: Tensor) -> Tensor:
    """Projected features as the heads see them, `[B, E, N, D of a head]`."""
    batch, count, width = features_BND.shape
    return features_BND.view(batch, count, attn.heads, width // attn.heads).transpose(1, 2)


def joined(attn: Any, output_BEQD: Tensor) -> Tensor:
    """What all heads found, projected: `[B, Q, D]`."""
    projected_BQD = attn.to_out[0](output_BEQD.transpose(1, 2).flatten(2))
    output_BQD: Tensor = attn.to_out[1](projected_BQD) / attn.rescale_output_factor
    return output_BQD


@contextmanager
def regional(layers: Sequence[nn.Module], plan: RegionPlan) -> Iterator[None]:
    """Within the block, the cross-attention `layers` obey the plan."""
    if not plan.regions:
        yield
        return
    with processed_by(RegionalAttention(plan), layers):
        yield


@contextmanager
def processed_by(processor: Any, layers: Sequence[Any]) -> Iterator[None]:
    """Within the block, this is the processor of these attention layers."""
    before = [layer.processor for layer in layers]
    for layer in layers:
        layer.processor = processor
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.processor = own
