"""LoRA adapters as forward hooks: the base keeps its weights, its names and its classes.

delta_OI = scale * up_OR @ down_RI (O out, R rank, I in); Hu et al., arXiv 2106.09685.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fedshow.concepts.keys import DOWN, UP, layers_in


class Adapter(nn.Module):
    """One layer's pair of low-rank matrices."""

    def __init__(self, down_RI: Tensor, up_OR: Tensor) -> None:
        super().__init__()
        self.down_RI, self.up_OR = nn.Parameter(down_RI), nn.Parameter(up_OR)

    @classmethod
    def whole(cls, layer: nn.Linear) -> "Adapter":
        """A change of the whole matrix: `down` is the identity and stays it, `up` is learnt."""
        weight = layer.weight
        adapter = cls(torch.eye(layer.in_features), torch.zeros(weight.shape))
        adapter.down_RI.requires_grad_(False)
        return adapter

    @classmethod
    def fresh(cls, layer: nn.Linear, rank: int, generator: torch.Generator) -> "Adapter":
        """One that changes nothing yet: `down` uniform as in Kaiming, `up` zero."""
        bound = 1 / math.sqrt(layer.in_features)
        down = torch.empty(rank, layer.in_features).uniform_(-bound, bound, generator=generator)
        return cls(down, torch.zeros(layer.out_features, rank))


Group = list[tuple[Adapter, nn.Linear]]


class _LowRankUpdate(torch.autograd.Function):
    """`output + scale * x downᵀ upᵀ` as one node of the graph, in the precision of `x`.

    The matrices stay in their own (full) precision and get their gradients in it.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, output: Tensor, down_RI: Tensor, up_OR: Tensor, scale: float
    ) -> Tensor:
        x_NI, output_NO = x.reshape(-1, x.shape[-1]), output.reshape(-1, output.shape[-1])
        small_NR = x_NI @ down_RI.to(x.dtype).T
        ctx.save_for_backward(x_NI, small_NR, down_RI, up_OR)
        ctx.scale, ctx.shape = scale, x.shape
        return torch.addmm(output_NO, small_NR, up_OR.to(x.dtype).T, alpha=scale).view_as(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x_NI, small_NR, down_RI, up_OR = ctx.saved_tensors
        wants_x, _, wants_down, wants_up, _ = ctx.needs_input_grad
        gradient_NO = gradient.reshape(-1, gradient.shape[-1])
        through_NR = (gradient_NO @ up_OR.to(gradient.dtype)) * ctx.scale
        x = (through_NR @ down_RI.to(gradient.dtype)).view(ctx.shape) if wants_x else None
        down = (through_NR.T @ x_NI).to(down_RI.dtype) if wants_down else None
        up = (gradient_NO.T @ small_NR).to(up_OR.dtype) * ctx.scale if wants_up else None
        return x, gradient, down, up, None


class Adapters(nn.Module):
    """The adapters of one concept (or of a fused release) for many layers."""

    def __init__(self, adapters: Mapping[str, Adapter], scale: float) -> None:
        super().__init__()
        self.names = list(adapters)
        self.modules_by_index = nn.ModuleList(adapters.values())
        self.scale = scale
        self.strength = 1.0
        self._handles: list[RemovableHandle] = []
        self._groups: list[tuple[Group, Tensor]] = []

    def items(self) -> list[tuple[str, Adapter]]:
        """Layer name and adapter, in a fixed order."""
        return list(zip(self.names, self.modules_by_index, strict=True))  # type: ignore[arg-type]

    def attach(self, layers: Mapping[str, nn.Linear]) -> "Adapters":
        """Adds every adapter to its layer's output until `detach`."""
        self._handles = [
            layers[name].register_forward_hook(self._hook(adapter))
            for name, adapter in self.items()
        ]
        return self

    def detach(self) -> None:
        """Leaves the layers as they were."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _hook(self, adapter: Adapter) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
        def add(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
            scale = self.scale * self.strength
            if scale == 0:
                return output
            updated = _LowRankUpdate.apply(args[0], output, adapter.down_RI, adapter.up_OR, scale)  # type: ignore[no-untyped-call]
            return cast(Tensor, updated)

        return add

    @contextmanager
    def folded(self, layers: Mapping[str, nn.Linear]) -> Iterator[None]:
        """Within the block the layers' weights contain the adapters, differentiably.

        Layers of one shape are folded together. Each layer then costs one matrix product more and a
        dozen small operations less: faster wherever layers see few tokens, as in small bases. Their own
        weights are copied once, so `layers` are the same each time.
        """
        strength, self.strength = self.strength, 0.0
        self._groups = self._groups or self._grouped(layers)
        try:
            for group, own_NOI in self._groups:
                self._fold(group, own_NOI, self.scale * strength)
            yield
        finally:
            self.strength = strength
            for name in self.names:
                layers[name].__dict__.pop("weight", None)

    def _grouped(self, layers: Mapping[str, nn.Linear]) -> list[tuple[Group, Tensor]]:
        """Adapters with their layers, those of one shape together, and these layers' own weights."""
        groups: dict[tuple[int, ...], Group] = {}
        for name, adapter in self.items():
            shape = (*adapter.up_OR.shape, adapter.down_RI.shape[1])
            groups.setdefault(shape, []).append((adapter, layers[name]))
        return [
            (group, torch.stack([layer.weight for _, layer in group])) for group in groups.values()
        ]

    @staticmethod
    def _fold(group: Group, own_NOI: Tensor, scale: float) -> None:
        """Folded weights as attributes, which hide the layers' parameters and leave them alone."""
        up_NOR = torch.stack([adapter.up_OR for adapter, _ in group])
        down_NRI = torch.stack([adapter.down_RI for adapter, _ in group])
        folded_NOI = torch.baddbmm(own_NOI, up_NOR, down_NRI, alpha=scale)
        for (_, layer), weight_OI in zip(group, folded_NOI.unbind(), strict=True):
            layer.__dict__["weight"] = weight_OI

    def matrices(self) -> dict[str, nn.Parameter]:
        """What the adapters learn, by key of a concept file."""
        found = {}
        for name, adapter in self.items():
            found[name + DOWN] = adapter.down_RI
            found[name + UP] = adapter.up_OR
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Keys and values as in a concept file."""
        return {key: value.detach() for key, value in self.matrices().items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], scale: float) -> "Adapters":
        """The adapters among the tensors of a concept file, in float32."""
        adapters = {
            name: Adapter(tensors[name + DOWN].float(), tensors[name + UP].float())
            for name in sorted(layers_in(tensors))
        }
        return cls(adapters, scale)
