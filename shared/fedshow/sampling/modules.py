"""The ControlNets and T2I-Adapters that a model draws with: where they are, and how they are opened."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import nn

from fedshow.errors import InvalidInput, first_line
from fedshow.families.opening import Base, quiet_libraries
from fedshow.sampling.conditions import Condition, Kind, types

Attend = Callable[[Sequence[tuple[nn.Module, int]]], object]


class ConditionModules:
    """Modules for one base, opened when they are first needed."""

    def __init__(self, base: Base, attend: Attend) -> None:
        self.base, self._attend = base, attend
        self._opened: dict[tuple[Kind, str], nn.Module] = {}

    def __call__(self, condition: Condition) -> nn.Module:
        """The module of a condition; raises InvalidInput when there is none that fits the base."""
        key = condition.kind, condition.name
        if key not in self._opened:
            self._opened[key] = self._open(*key)
        return self._opened[key]

    def _open(self, kind: Kind, name: str) -> nn.Module:
        known = types(self.base.card.name, self.base.family.name, kind)
        if name not in known and not Path(name).is_dir():
            others = (
                f"none of {', '.join(known)}" if known else "this base has no types: name a folder"
            )
            raise InvalidInput(f"{kind} {name!r}: no folder, and {others}")
        module: nn.Module = _load(kind, known.get(name, name))
        self._check(kind, name, module)
        module.to(self.base.device, self.base.dtype).eval().requires_grad_(False)
        if kind == "control":
            self._attend(self.base.family.slotted_layers(module))
        return module

    def _check(self, kind: Kind, name: str, module: Any) -> None:
        """Raises InvalidInput when the module's features are not those of the base."""
        denoiser = self.base.denoiser.config
        own = tuple(
            module.config.block_out_channels if kind == "control" else module.config.channels
        )
        wanted = tuple(denoiser.block_out_channels)
        if own[: len(wanted)] != wanted:  # the adapters of SDXL give one more, which nobody reads
            raise InvalidInput(
                f"{kind} {name}: made for a base of channels {own}; {self.base.card.name} has {wanted}"
            )


def _load(kind: Kind, folder: str) -> Any:
    quiet_libraries()
    from diffusers import ControlNetModel, T2IAdapter

    opener: Any = ControlNetModel if kind == "control" else T2IAdapter
    try:
        return opener.from_pretrained(folder, use_safetensors=True)  # or it takes pickles, too
    except (OSError, ValueError, SafetensorError) as error:
        raise InvalidInput(f"{kind} {folder} cannot be loaded: {first_line(error)}") from error
