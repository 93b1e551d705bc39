"""LoRA adapters as forward hooks: the base keeps its weights, its names and its classes.

delta_OI = scale * up_OR @ down_RI (O out, R rank, I in); Hu et al., arXiv 2106.09685.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle


class Adapter(nn.Module):
    """One layer's pair of low-rank matrices."""

    def __init__(self, down_RI: Tensor, up_OR: Tensor) -> None:
        super().__init__()
        self.down_RI, self.up_OR = nn.Parameter(down_RI), nn.Parameter(up_OR)

    def forward(self, x: Tensor) -> Tensor:
        """The unscaled update of `x [..., I]`, `[..., O]`, in the adapter's own precision."""
        y = F.linear(F.linear(x.to(self.down_RI.dtype), self.down_RI), self.up_OR)
        return y.to(x.dtype)


class Adapters(nn.Module):
    """The adapters of one concept (or of a fused release) for many layers."""

    def __init__(self, adapters: Mapping[str, Adapter], scale: float) -> None:
        super().__init__()
        self.names = list(adapters)
        self.modules_by_index = nn.ModuleList(adapters.values())
        self.scale = scale
        self.strength = 1.0
        self._handles: list[RemovableHandle] = []

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
            if self.strength == 0:
                return output
            update: Tensor = adapter(args[0])
            return output + (self.scale * self.strength) * update

        return add

    def tensors(self) -> dict[str, Tensor]:
        """Keys and values as in a concept file."""
        found = {}
        for name, adapter in self.items():
            found[f"{name}.lora_A.weight"] = adapter.down_RI.detach()
            found[f"{name}.lora_B.weight"] = adapter.up_OR.detach()
        return found

    @classmethod
    def fresh(
        cls, layers: Mapping[str, nn.Linear], rank: int, alpha: float, generator: torch.Generator
    ) -> "Adapters":
        """New adapters that change nothing yet: `down` uniform as in Kaiming, `up` zero."""
        adapters = {}
        for name, layer in layers.items():
            bound = 1 / math.sqrt(layer.in_features)
            down = torch.empty(rank, layer.in_features).uniform_(-bound, bound, generator=generator)
            adapters[name] = Adapter(down, torch.zeros(layer.out_features, rank))
        return cls(adapters, alpha / rank).to(next(iter(layers.values())).weight.device)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], scale: float) -> "Adapters":
        """The adapters among the tensors of a concept file, in float32."""
        names = sorted(key.removesuffix(".lora_A.weight") for key in tensors if "lora_A" in key)
        adapters = {
            name: Adapter(
                tensors[f"{name}.lora_A.weight"].float(), tensors[f"{name}.lora_B.weight"].float()
            )
            for name in names
        }
        return cls(adapters, scale)
