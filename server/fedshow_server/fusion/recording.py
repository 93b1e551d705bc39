"""Recording what layers read, as second moments: nothing recorded grows with prompts or steps.

Shapes: I layer input width; moments are `[I, I]` float64.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fedshow.families import Base
from fedshow.sampling.model import Model


@dataclass(frozen=True)
class Plan:
    """How richly to record: from which seeds, with how many denoising steps."""

    fit_seeds: tuple[int, ...] = (0, 1)
    heldout_seeds: tuple[int, ...] = (1000,)
    steps: int = 20


@dataclass
class Moments:
    """Sums of x xᵀ per input name, and how many x went in."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, inputs: Tensor) -> None:
        """Adds inputs `[..., I]`."""
        x = inputs.reshape(-1, inputs.shape[-1]).double()
        found = self.sums.get(name)
        gram = x.T @ x
        self.sums[name] = gram if found is None else found + gram
        self.counts[name] = self.counts.get(name, 0) + len(x)

    def mean(self, name: str) -> Tensor:
        """E[x xᵀ], `[I, I]` float64 on the CPU."""
        return (self.sums[name] / self.counts[name]).cpu()

    def are_finite(self) -> bool:
        """Whether everything recorded is a number."""
        return all(bool(moment_II.isfinite().all()) for moment_II in self.sums.values())


class Recorder:
    """Listens at one layer of every distinct input."""

    def __init__(self, base: Base) -> None:
        self.moments = Moments()
        self._listening: str | None = None
        self._halves = False
        seen: set[str] = set()
        self._handles = []
        for layer, module in base.layers.items():
            if (name := base.family.input_of(layer)) not in seen:
                seen.add(name)
                self._handles.append(module.register_forward_pre_hook(self._hook(name)))

    def close(self) -> None:
        """Stops listening for good."""
        for handle in self._handles:
            handle.remove()

    @contextmanager
    def listening(self, component: str, halves: bool = False) -> Iterator[None]:
        """Within the block, inputs of one component are added; of guided batches the prompted half."""
        self._listening, self._halves = component, halves
        try:
            yield
        finally:
            self._listening = None

    def _hook(self, name: str) -> Any:
        def listen(_: nn.Module, args: tuple[Any, ...]) -> None:
            if self._listening is None or not name.startswith(self._listening):
                return
            inputs = args[0]
            self.moments.add(name, inputs[len(inputs) // 2 :] if self._halves else inputs)

        return listen


def record(model: Model, prompts: Sequence[str], seeds: Sequence[int], steps: int) -> Moments:
    """Moments of everything the model's layers read while it draws every prompt from every seed."""
    recorder = Recorder(model.base)
    try:
        with recorder.listening("text_encoder."), torch.no_grad():
            model.tokens.encode(list(prompts))
        for seed in seeds:
            with recorder.listening("unet.", halves=True):
                model.sample_latents(list(prompts), seed=seed, steps=steps)
    finally:
        recorder.close()
    return recorder.moments
