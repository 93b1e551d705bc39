"""Self-attention in which regions look away from each other, so that attributes do not leak.

Regional prompts meet in self-attention, where every place looks at every other: what one region shows,
its neighbour may copy. Shapes: B pictures, Q places, C contexts, E heads, D width of a head.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from fedshow.sampling.regional import RegionPlan, heads, joined, processed_by
from fedshow.sampling.regions import Size


class SeparatedAttention:
    """A processor for self-attention: what another region holds counts less, the background as ever."""

    def __init__(self, plan: RegionPlan, strength: float) -> None:
        self.plan, self.strength = plan, strength
        self.biases: dict[int, Tensor | None] = {}
        """By number of places what is added to scores now, `[Q, Q]`; None: nothing."""

        plan.on_change(self._prepare)

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,  # noqa: ARG002  # what diffusers hands to every processor
    ) -> Tensor:
        """`[B, Q, D]` of the same shape."""
        assert encoder_hidden_states is None, "not cross-attention"
        assert attention_mask is None, "no family masks places"
        queries, keys, values = (
            heads(attn, linear(hidden_states)) for linear in (attn.to_q, attn.to_k, attn.to_v)
        )
        bias = None if self.plan.alone else self.biases[hidden_states.shape[1]]
        output_BEQD = scaled_dot_product_attention(
            queries, keys, values, attn_mask=bias, scale=attn.scale
        )
        return joined(attn, output_BEQD)

    def _prepare(self) -> None:
        self.biases = {places: self._bias(grid) for places, grid in self.plan.grids.items()}

    def _bias(self, grid: Size) -> Tensor | None:
        foreign_QQ = foreign(self.plan.shares_at(grid).flatten(1))
        if not foreign_QQ.any():
            return None
        return self.plan.cast(separation_bias(foreign_QQ, self.strength))


def foreign(share_CQ: Tensor) -> Tensor:
    """How far each place (row) and each other (column) belong to different regions: `[Q, Q]`, 0 to 1."""
    own_RQ = share_CQ[1:]
    inside_Q = own_RQ.sum(0)
    return (inside_Q[:, None] * inside_Q - own_RQ.T @ own_RQ).clamp(0, 1)


def separation_bias(foreign_QQ: Tensor, strength: float) -> Tensor:
    """Added to scores, it multiplies what a foreign place weighs before the softmax by `1 - strength`."""
    return (1 - strength * foreign_QQ).clamp(min=math.exp(-20)).log()


@contextmanager
def separated(layers: Sequence[nn.Module], plan: RegionPlan, strength: float) -> Iterator[None]:
    """Within the block, the self-attention `layers` keep the plan's regions apart."""
    if not strength or not plan.regions:
        yield
        return
    with processed_by(SeparatedAttention(plan, strength), layers):
        yield
