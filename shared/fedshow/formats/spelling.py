"""How formats name layers and their halves, and adapters written and read by such names.

Shapes: O out, I in, R rank.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from fedshow.errors import InvalidInput
from fedshow.formats.content import LowRank

Names = Callable[[Collection[str]], dict[str, str]]
"""Layers, as concept files name them, to a format's names."""

AlphaOf = Callable[[str, int], float]
"""Alpha of a layer (by the format's name) of some rank, where no tensor says it."""

Sizes = Mapping[str, tuple[int, int]]
"""Layers that take adapters to (d_in, d_out), as cards have them."""


@dataclass(frozen=True)
class Spelling:
    """Names of layers and what follows them in keys."""

    names: Names
    down: str
    up: str
    alpha: str | None = None
    """None: the format keeps alphas elsewhere, or has none."""

    other_names: tuple[Names, ...] = ()
    """Also read."""
    other_halves: tuple[tuple[str, str], ...] = ()
    """Other ends of `down` and `up` keys, also read."""


@dataclass(frozen=True)
class Part:
    """One key taken apart."""

    key: str
    name: str
    role: str
    """`down`, `up` or `alpha`."""


def own_names(layers: Collection[str]) -> dict[str, str]:
    """As in concept files."""
    return {layer: layer for layer in layers}


def write_layers(layers: Mapping[str, LowRank], spelling: Spelling) -> dict[str, Tensor]:
    """Every half (and alpha, if the format has it as a tensor) by the format's key."""
    import torch

    names, found = spelling.names(layers.keys()), {}
    for layer, pair in layers.items():
        found[names[layer] + spelling.down] = pair.down_RI
        found[names[layer] + spelling.up] = pair.up_OR
        if spelling.alpha is not None:
            found[names[layer] + spelling.alpha] = torch.tensor(pair.alpha)
    return found


def read_layers(
    tensors: Mapping[str, Tensor],
    spelling: Spelling,
    sizes: Sizes,
    alpha_of: AlphaOf = lambda _name, rank: float(rank),
    leave_out: bool = False,
) -> dict[str, LowRank]:
    """The adapters in `tensors` by layer, all of one rank and alpha, as concept files have them.

    Raises InvalidInput naming the key: of no kind that the format has, of a layer that takes no adapters
    (these are left out when told to), half a layer, a wrong shape, another rank or alpha than the rest.
    """
    known = _known(spelling, sizes)
    by_layer: dict[str, dict[str, Part]] = {}
    for key in sorted(tensors):
        part = take_apart(key, spelling)
        if part.name in known:
            parts = by_layer.setdefault(known[part.name], {})
            if part.role in parts:
                raise InvalidInput(f"{key} and {parts[part.role].key} are the same layer's")
            parts[part.role] = part
        elif not leave_out:
            raise InvalidInput(f"{key}: the base has no such layer that takes adapters")
    found = {
        layer: _joined(parts, tensors, sizes[layer], alpha_of) for layer, parts in by_layer.items()
    }
    _check_alike(found, by_layer)
    return found


def take_apart(key: str, spelling: Spelling) -> Part:
    """A key's layer and role; raises InvalidInput for any that ends otherwise."""
    halves = [(spelling.down, spelling.up), *spelling.other_halves]
    ends = [(down, "down") for down, _ in halves] + [(up, "up") for _, up in halves]
    if spelling.alpha is not None:
        ends.append((spelling.alpha, "alpha"))
    for end, role in ends:
        if key.endswith(end):
            return Part(key, key.removesuffix(end), role)
    allowed = ", ".join(sorted({end for end, _ in ends}))
    raise InvalidInput(f"{key:.200}: keys end with {allowed}")


def _known(spelling: Spelling, sizes: Sizes) -> dict[str, str]:
    """Every name by which the format may call a layer."""
    ways = (*spelling.other_names, spelling.names)
    return {name: layer for way in ways for layer, name in way(sizes.keys()).items()}


def _joined(
    parts: Mapping[str, Part],
    tensors: Mapping[str, Tensor],
    size: tuple[int, int],
    alpha_of: AlphaOf,
) -> LowRank:
    for role in ("down", "up"):
        if role not in parts:
            raise InvalidInput(f"{next(iter(parts.values())).key}: the layer has no {role!r} half")
        _check_shape(parts[role], tensors, size)
    down_RI, up_OR = tensors[parts["down"].key], tensors[parts["up"].key]
    if len(down_RI) != up_OR.shape[1]:
        raise InvalidInput(
            f"{parts['up'].key}: rank {up_OR.shape[1]}, {parts['down'].key} has {len(down_RI)}"
        )
    if "alpha" in parts:
        return LowRank(down_RI, up_OR, _number(parts["alpha"].key, tensors[parts["alpha"].key]))
    return LowRank(down_RI, up_OR, alpha_of(parts["down"].name, len(down_RI)))


def _check_shape(part: Part, tensors: Mapping[str, Tensor], size: tuple[int, int]) -> None:
    shape, (d_in, d_out) = list(tensors[part.key].shape), size
    axis, width, want = (1, d_in, f"[rank, {d_in}]")
    if part.role == "up":
        axis, width, want = (0, d_out, f"[{d_out}, rank]")
    if len(shape) != 2 or shape[axis] != width:
        raise InvalidInput(f"{part.key}: shape {shape}, must be {want}")


def _number(key: str, tensor: Tensor) -> float:
    if tensor.numel() != 1 or not (0 < float(tensor) < float("inf")):
        raise InvalidInput(f"{key}: {tensor.flatten()[:4].tolist()}, alpha is one number above 0")
    return float(tensor)


def _check_alike(found: Mapping[str, LowRank], parts: Mapping[str, Mapping[str, Part]]) -> None:
    """Concept files have one rank and one alpha."""
    first: LowRank | None = None
    for layer, pair in found.items():
        first = first or pair
        for what in ("rank", "alpha"):
            if (here := getattr(pair, what)) != (wanted := getattr(first, what)):
                raise InvalidInput(
                    f"{parts[layer]['down'].key}: {what} {here}, other layers have {wanted}; "
                    "a concept has one for all"
                )
