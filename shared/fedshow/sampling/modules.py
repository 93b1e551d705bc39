"""The ControlNets and T2I-Adapters that a model draws with: where they are, and how they are opened."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import nn

from fedshow.errors import InvalidInput, first_line
from fedshow.families.opening import Base, quiet_libraries
from fedshow.sampling.conditioning import as_read
from fedshow.sampling.conditions import Condition, Kind, content_name, types
from fedshow.sampling.recipe import Recipe
from fedshow.sampling.regions import Region

Attend = Callable[[Sequence[tuple[nn.Module, int]]], object]


class ConditionModules:
    """Modules for one base, opened when they are first needed."""

    def __init__(self, base: Base, attend: Attend) -> None:
        self.base, self._attend = base, attend
        self._opened: dict[tuple[Kind, str], nn.Module] = {}
        self._digests: dict[tuple[Kind, str], str] = {}

    def __call__(self, condition: Condition) -> nn.Module:
        """The module of a condition; raises InvalidInput when there is none that fits the base."""
        key = condition.kind, condition.name
        if key not in self._opened:
            self._opened[key] = self._open(*key)
        return self._opened[key]

    def published(self, recipe: Recipe) -> Recipe:
        """The recipe as others may read it: pictures of conditions as they are used, of folders only digests.

        Raises InvalidInput for conditions that cannot be drawn with.
        """
        size = recipe.size(self.base.sample_pixels)
        recipe.check_size(size, self.base.multiple)
        conditions = [
            replace(one, name=self._public(one), picture=as_read(one.picture, size, self(one)))
            for one in recipe.conditions
        ]
        regions = [
            replace(region, controls=dict(self._weights(region, recipe.conditions)))
            for region in recipe.regions
        ]
        return replace(recipe, conditions=conditions, regions=regions)

    def _weights(
        self, region: Region, conditions: Sequence[Condition]
    ) -> Iterator[tuple[str, float]]:
        """How much conditions count in a region, by the names that others may read."""
        for one in conditions:
            if one.name in region.controls:
                yield self._public(one), region.controls[one.name]

    def _public(self, condition: Condition) -> str:
        """The type of a module, or what its folder holds."""
        key = condition.kind, condition.name
        if condition.name in self._types(condition.kind):
            return condition.name
        if key not in self._digests:
            self._digests[key] = content_name(Path(condition.name))
        return self._digests[key]

    def _types(self, kind: Kind) -> dict[str, str]:
        """Where modules are that go by their type."""
        return types(self.base.card.name, self.base.family.name, kind)

    def _open(self, kind: Kind, name: str) -> nn.Module:
        family = self.base.family
        if not family.slotted_layers(self.base.denoiser):
            raise InvalidInput(
                f"conditions: bases of family {family.name!r} have no cross-attention to draw them by"
            )
        known = self._types(kind)
        if name not in known and not Path(name).is_dir():
            others = (
                f"none of {', '.join(known)}" if known else "this base has no types: name a folder"
            )
            raise InvalidInput(f"{kind} {name!r}: no folder, and {others}")
        module: nn.Module = _load(kind, known.get(name, name))
        self._check(kind, name, module)
        module.to(self.base.device, self.base.dtype).eval().requires_grad_(False)
        if kind == "control":
            self._attend(family.slotted_layers(module))
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
