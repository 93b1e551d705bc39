"""What a fusion knows of one layer, as sums over concepts: as large for a thousand as for two.

Shapes: O out, I in, R rank of one adapter. All float64; delta_i = up_i @ down_i, G_i and H_i are
concept i's second moments E[x xᵀ] for the fit and held out, w_i its weight.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import torch
from torch import Tensor

DRIFT = 0.8
"""How much moving the base counts beside missing the concepts: less would move it further than averaging."""

SILENT = 1e-10
"""Adapters that give less than this times E|x|² change nothing: an error relative to what, then?"""


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

    @property
    def turned(self) -> "Part":
        """The adapter transposed, with the moments as they are."""
        return replace(self, down_RI=self.up_OR.T, up_OR=self.down_RI.T)


@dataclass(frozen=True)
class LayerSums:
    """What depends on the adapters of one layer."""

    wanted_OI: Tensor
    """Σ w_i delta_i G_i"""
    mean_OI: Tensor
    """Σ w_i delta_i: the mean, but for the sum of weights"""
    heldout_wanted_OI: Tensor
    """Σ w_i delta_i H_i"""
    signal: Tensor
    """Σ w_i E|delta_i x|² on H_i"""

    @classmethod
    def zeros(cls, width_in: int, width_out: int, device: torch.device | None = None) -> Self:
        """The sums over no concept."""
        shapes: tuple[tuple[int, ...], ...] = (*[(width_out, width_in)] * 3, ())
        return cls(*(torch.zeros(s, dtype=torch.float64, device=device) for s in shapes))

    def plus(self, part: Part, weight: float) -> "LayerSums":
        """With `weight` more of a concept; less when it is negative."""
        delta_OI = part.delta_OI
        mean_OI = self.mean_OI + weight * delta_OI
        if part.fit_II is None or part.heldout_II is None:
            return LayerSums(self.wanted_OI, mean_OI, self.heldout_wanted_OI, self.signal)
        return LayerSums(
            self.wanted_OI + weight * (part.up_OR @ (part.down_RI @ part.fit_II)),
            mean_OI,
            self.heldout_wanted_OI + weight * (part.up_OR @ (part.down_RI @ part.heldout_II)),
            self.signal + weight * low_rank_energy(part.up_OR, part.down_RI, part.heldout_II),
        )


@dataclass(frozen=True)
class InputSums:
    """What all layers that read one input have in common."""

    fit_II: Tensor
    """Σ w_i G_i"""
    heldout_II: Tensor
    """Σ w_i H_i"""
    generic_II: Tensor
    """The base's own moment on prompts without a concept."""
    generic_heldout_II: Tensor
    """The same on other prompts."""
    weight: float
    """Σ w_i"""
    concepts: int
    _spectra: dict[float, tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False)

    def spectrum(self, guard: float) -> tuple[Tensor, Tensor]:
        """Eigenvalues and eigenvectors of Σ w_i G_i + guard G_0, found once for all layers.

        By processor cores: they do several inputs at once, where a card has little to do at a time.
        """
        if guard not in self._spectra:
            moment_II = self.fit_II + guard * self.generic_II
            values_I, vectors_II = torch.linalg.eigh(moment_II.cpu())
            found = values_I.clamp(min=0), vectors_II
            self._spectra[guard] = found[0].to(moment_II.device), found[1].to(moment_II.device)
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

    given: float
    """Mean |W0 x|² of what the layer gives on prompts without a concept."""

    turned: "Layer | None" = None
    """Of a layer of cross-attention's queries the other side: adapters transposed, and what it reads are the
    keys that its queries meet. What an error of a query costs is seen there alone.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """(O, I)"""
        width_out, width_in = self.sums.mean_OI.shape
        return width_out, width_in

    @property
    def typical(self) -> float:
        """Mean of |delta_i x|² over concepts: what errors and drift are compared with."""
        return float(self.sums.signal) / self.reads.weight

    @property
    def is_idle(self) -> bool:
        """Whether no concept changes anything here."""
        return float(self.sums.signal) <= SILENT * float(self.reads.heldout_II.trace())

    def unseen_error(self, delta_OI: Tensor) -> float:
        """Mean error of an update on held-out inputs, and how far it moves the base.

        An error is relative to what concepts do here on average: one that does little here can lose
        little, and must not decide for everybody.
        """
        if self.is_idle:
            return 0.0
        missed = (
            energy(delta_OI, self.reads.heldout_II)
            - 2 * float((delta_OI * self.sums.heldout_wanted_OI).sum())
            + float(self.sums.signal)
        )
        return missed / float(self.sums.signal) + self.drift_counts * self.drift(delta_OI)

    @property
    def drift_counts(self) -> float:
        """How much drift counts beside errors: less where concepts change little of what the layer gives
        anyway, as in self-attention and the text encoder, whose drift nobody sees; more for many concepts,
        since averaging, too, moves the base the less the more there are.
        """
        share = self.typical / (self.typical + self.given)
        return DRIFT * math.sqrt(self.reads.concepts * share)

    def drift(self, delta_OI: Tensor) -> float:
        """How far an update moves the base on held-out generic prompts; 1 is as far as a concept does."""
        if self.is_idle:
            return 0.0
        return energy(delta_OI, self.reads.generic_heldout_II) / self.typical


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
    given: float = 1.0,
) -> Layer:
    """The layer of these concepts, all in memory."""
    sums, fit_II, heldout_II = sum_of(parts), *(torch.zeros_like(generic_II) for _ in range(2))
    for part in parts:
        if part.fit_II is not None and part.heldout_II is not None:
            fit_II = fit_II + part.weight * part.fit_II
            heldout_II = heldout_II + part.weight * part.heldout_II
    weight = sum(part.weight for part in parts)
    reads = InputSums(fit_II, heldout_II, generic_II, generic_heldout_II, weight, len(parts))
    return Layer(name, input_name, reads, sums, lambda moments=True: iter(parts), given)  # noqa: ARG005


def sum_of(parts: Iterable[Part]) -> LayerSums:
    """The sums over these concepts; raises StopIteration when there is none."""
    rest = iter(parts)
    first = next(rest)
    sums = LayerSums.zeros(first.down_RI.shape[1], len(first.up_OR))
    for part in (first, *rest):
        sums = sums.plus(part, part.weight)
    return sums


def no_adapter(
    width_in: int, width_out: int, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """`down_RI` and `up_OR` of a concept that leaves the layer alone."""
    down_RI = torch.zeros(0, width_in, dtype=torch.float64, device=device)
    return down_RI, torch.zeros(width_out, 0, dtype=torch.float64, device=device)


def energy(delta_OI: Tensor, moment_II: Tensor) -> float:
    """Mean of |delta @ x|² over inputs x with the given second moment."""
    return float(((delta_OI @ moment_II) * delta_OI).sum())


def low_rank_energy(up_OR: Tensor, down_RI: Tensor, moment_II: Tensor) -> float:
    """Mean of |up @ down @ x|² over inputs with this moment, at far less cost than of the product."""
    return float(((up_OR.T @ up_OR) * (down_RI @ moment_II @ down_RI.T)).sum())
