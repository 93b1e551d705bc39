"""What a fusion knows of one layer, as sums over concepts: as large for a thousand as for two.

Shapes: O out, I in, R rank of one adapter. All float64; delta_i = up_i @ down_i, G_i and H_i are
concept i's second moments E[x xᵀ] for the fit and held out, w_i its weight, s_i = E|delta_i x|² on H_i.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Protocol, Self

import torch
from torch import Tensor

SILENT = 1e-10
"""A concept whose adapter gives less than this times E|x|² changes nothing: as error of what, then?"""


@dataclass(frozen=True)
class Part:
    """One concept's adapter of one layer, scale already in `up_OR`, and what the layer then reads."""

    down_RI: Tensor
    up_OR: Tensor
    weight: float = 1.0
    fit_II: Tensor | None = None
    heldout_II: Tensor | None = None

    @property
    def delta_OI(self) -> Tensor:
        """The adapter as one matrix."""
        return self.up_OR @ self.down_RI


@dataclass(frozen=True)
class LayerSums:
    """What depends on the adapters of one layer."""

    wanted_OI: Tensor
    """Σ w_i delta_i G_i"""
    mean_OI: Tensor
    """Σ w_i delta_i: the mean, but for the sum of weights"""
    heldout_wanted_OI: Tensor
    """Σ delta_i H_i / s_i"""
    heldout_II: Tensor
    """Σ H_i / s_i"""
    signal: Tensor
    """Σ s_i"""
    heard: Tensor
    """How many concepts change what this layer gives."""

    @classmethod
    def zeros(cls, width_in: int, width_out: int) -> Self:
        """The sums over no concept."""
        wide, square, one = (width_out, width_in), (width_in, width_in), ()
        shapes = (wide, wide, wide, square, one, one)
        return cls(*(torch.zeros(shape, dtype=torch.float64) for shape in shapes))

    def plus(self, part: Part, weight: float, presence: int) -> "LayerSums":
        """With `weight` more of a concept; presence 1 lets it in, -1 out, 0 only reweights it."""
        delta_OI = part.delta_OI
        mean_OI = self.mean_OI + weight * delta_OI
        if part.fit_II is None or part.heldout_II is None:
            return LayerSums(**self._values() | {"mean_OI": mean_OI})
        wanted_OI = self.wanted_OI + weight * (part.up_OR @ (part.down_RI @ part.fit_II))
        signal = energy(delta_OI, part.heldout_II)
        is_heard = signal > SILENT * float(part.heldout_II.trace())
        share = presence / signal if is_heard else 0.0
        return LayerSums(
            wanted_OI,
            mean_OI,
            self.heldout_wanted_OI + share * (part.up_OR @ (part.down_RI @ part.heldout_II)),
            self.heldout_II + share * part.heldout_II,
            self.signal + presence * signal,
            self.heard + presence * is_heard,
        )

    def _values(self) -> dict[str, Tensor]:
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True)
class InputSums:
    """What all layers that read one input have in common."""

    fit_II: Tensor
    """Σ w_i G_i"""
    generic_II: Tensor
    """The base's own moment on prompts without a concept."""
    generic_heldout_II: Tensor
    """The same on other prompts."""
    weight: float
    """Σ w_i"""
    concepts: int
    _spectra: dict[float, tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False)

    def spectrum(self, guard: float) -> tuple[Tensor, Tensor]:
        """Eigenvalues and eigenvectors of Σ w_i G_i + guard G_0, found once for all layers."""
        if guard not in self._spectra:
            values_I, vectors_II = torch.linalg.eigh(self.fit_II + guard * self.generic_II)
            self._spectra[guard] = values_I.clamp(min=0), vectors_II
        return self._spectra[guard]


class Parts(Protocol):
    """The concepts of one layer, one after another."""

    def __call__(self, moments: bool = True) -> Iterator[Part]:
        """In order of name; without `moments` adapters alone, which is far less to read."""
        ...


@dataclass(frozen=True)
class Layer:
    """One layer as a fusion rule sees it."""

    name: str
    input_name: str
    reads: InputSums
    sums: LayerSums
    parts: Parts
    """For rules that cannot work with sums, and for reports."""

    @property
    def shape(self) -> tuple[int, int]:
        """(O, I)"""
        width_out, width_in = self.sums.mean_OI.shape
        return width_out, width_in

    @property
    def typical(self) -> float:
        """Mean of |delta_i x|² over concepts: what errors and drift are compared with."""
        return float(self.sums.signal) / self.reads.concepts

    @property
    def is_idle(self) -> bool:
        """Whether no concept changes anything here."""
        return float(self.sums.heard) == 0

    def unseen_error(self, delta_OI: Tensor) -> float:
        """Mean relative error of an update on held-out inputs; the base's prompts count as one concept."""
        if self.is_idle:
            return 0.0
        missed = (
            energy(delta_OI, self.sums.heldout_II)
            - 2 * float((delta_OI * self.sums.heldout_wanted_OI).sum())
            + float(self.sums.heard)
        )
        return (missed + self.drift(delta_OI)) / (self.reads.concepts + 1)

    def drift(self, delta_OI: Tensor) -> float:
        """How far an update moves the base on held-out generic prompts; 1 is as far as a concept does."""
        return 0.0 if self.is_idle else self.moved(delta_OI) / self.typical

    def moved(self, delta_OI: Tensor) -> float:
        """Mean of |delta x|² on held-out generic prompts."""
        return energy(delta_OI, self.reads.generic_heldout_II)


@dataclass(frozen=True)
class Solution:
    """What a fusion rule makes of one layer, and how it chose."""

    delta_OI: Tensor
    settings: dict[str, float | str] = field(default_factory=dict)


Fusion = Callable[[Layer], Solution]
"""A rule: pure, float64 in and out."""


def layer_of(
    name: str,
    input_name: str,
    parts: Sequence[Part],
    generic_II: Tensor,
    generic_heldout_II: Tensor,
) -> Layer:
    """The layer of these concepts, all in memory."""
    sums = sum_of(parts)
    fit_II = torch.zeros_like(generic_II)
    for part in parts:
        if part.fit_II is not None:
            fit_II = fit_II + part.weight * part.fit_II
    weight = sum(part.weight for part in parts)
    reads = InputSums(fit_II, generic_II, generic_heldout_II, weight, len(parts))
    return Layer(name, input_name, reads, sums, lambda moments=True: iter(parts))  # noqa: ARG005


def sum_of(parts: Iterable[Part]) -> LayerSums:
    """The sums over these concepts; raises StopIteration when there is none."""
    rest = iter(parts)
    first = next(rest)
    sums = LayerSums.zeros(first.down_RI.shape[1], len(first.up_OR))
    for part in (first, *rest):
        sums = sums.plus(part, part.weight, 1)
    return sums


def no_adapter(width_in: int, width_out: int) -> tuple[Tensor, Tensor]:
    """`down_RI` and `up_OR` of a concept that leaves the layer alone."""
    down_RI = torch.zeros(0, width_in, dtype=torch.float64)
    return down_RI, torch.zeros(width_out, 0, dtype=torch.float64)


def energy(delta_OI: Tensor, moment_II: Tensor) -> float:
    """Mean of |delta @ x|² over inputs x with the given second moment."""
    return float(((delta_OI @ moment_II) * delta_OI).sum())
