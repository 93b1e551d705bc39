"""Recording what layers read, as second moments: nothing recorded grows with prompts or steps.

Shapes: I layer input width; moments are `[I, I]` float64.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn

from fedshow.concepts import ConceptFile
from fedshow.families import Base
from fedshow.sampling.model import Model
from fedshow_server.fusion import prompts
from fedshow_server.fusion.grams import Precision, default_precision, gram
from fedshow_server.fusion.statistics import Seen, Statistics


@dataclass(frozen=True)
class Plan:
    """How richly to record: from which seeds, with how many denoising steps."""

    fit_seeds: tuple[int, ...] = (0, 1)
    heldout_seeds: tuple[int, ...] = (1000,)
    steps: int = 20
    fit_prompts: int = len(prompts.FIT)
    """How many of the prompts for the fit are drawn, the first ones."""

    precision: Precision | None = None
    """Of the products that are added up; None: what suits the device. All estimate the same moments."""

    @property
    def fit(self) -> tuple[str, ...]:
        """The prompts for the fit."""
        return prompts.FIT[: self.fit_prompts]

    @property
    def settings(self) -> str:
        """All that decides what is recorded, in words; what was recorded otherwise does not add up."""
        drawn = (self.fit, prompts.HELDOUT, prompts.GENERIC_FIT, prompts.GENERIC_HELDOUT)
        digest = sha256(repr(drawn).encode()).hexdigest()[:12]
        fit, heldout = (",".join(map(str, s)) for s in (self.fit_seeds, self.heldout_seeds))
        return f"prompts {digest}, seeds {fit} and {heldout}, {self.steps} steps"


@dataclass
class Moments:
    """Sums of x xᵀ per input name, and how many x went in."""

    precision: Precision | None = None
    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, inputs: Tensor) -> None:
        """Adds inputs `[..., I]`."""
        x_TI = inputs.reshape(-1, inputs.shape[-1])
        added_II = gram(x_TI, self.precision or default_precision(x_TI.device))
        found_II = self.sums.get(name)
        self.sums[name] = added_II if found_II is None else found_II.add_(added_II)
        self.counts[name] = self.counts.get(name, 0) + len(x_TI)

    def mean(self, name: str) -> Tensor:
        """E[x xᵀ], `[I, I]` float64 on the CPU."""
        return (self.sums[name] / self.counts[name]).cpu()

    def means(self) -> dict[str, Tensor]:
        """E[x xᵀ] of every input."""
        return {name: self.mean(name) for name in self.sums}


def record_concept(base: Base, concept: ConceptFile, plan: Plan) -> Statistics:
    """What a fusion needs of a concept: the base draws it, with this concept alone."""
    header, tensors = concept.header, concept.tensors()
    layers = [
        key.removesuffix(".lora_A.weight") for key in tensors if key.endswith("lora_A.weight")
    ]
    fit, heldout = (prompts.for_concept(t, header.name) for t in (plan.fit, prompts.HELDOUT))
    return Statistics(
        name=header.name,
        class_word=header.class_word,
        sha256=concept.sha256,
        base_sha256=header.base.sha256,
        scale=header.scale,
        adapters={
            layer: (tensors[f"{layer}.lora_A.weight"], tensors[f"{layer}.lora_B.weight"])
            for layer in layers
        },
        seen=_record_both(base, [concept], plan, fit, heldout),
    )


def record_generic(base: Base, class_word: str, plan: Plan) -> Seen:
    """What the bare base reads on prompts with a class word, or on those without any ('')."""
    templates = (prompts.GENERIC_FIT, prompts.GENERIC_HELDOUT)
    fit, heldout = (prompts.generic(each, class_word) for each in templates)
    return _record_both(base, [], plan, fit, heldout)


def _record_both(
    base: Base, concepts: Sequence[ConceptFile], plan: Plan, fit: list[str], heldout: list[str]
) -> Seen:
    """What the base with these concepts reads; the base is left as it was."""
    model = Model(base)
    try:
        for concept in concepts:
            model.add_concept(concept)
        return Seen(
            record(model, fit, plan.fit_seeds, plan).means(),
            record(model, heldout, plan.heldout_seeds, plan).means(),
        )
    finally:
        model.restore()


class Recorder:
    """Listens at one layer of every distinct input."""

    def __init__(self, base: Base, precision: Precision | None = None) -> None:
        self.moments = Moments(precision)
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


def record(model: Model, texts: Sequence[str], seeds: Sequence[int], plan: Plan) -> Moments:
    """Moments of everything the model's layers read while it draws every text from every seed."""
    recorder = Recorder(model.base, plan.precision)
    try:
        with recorder.listening("text_encoder."), torch.no_grad():
            model.tokens.encode(list(texts))
        for seed in seeds:
            with recorder.listening("unet.", halves=True):
                model.sample_latents(list(texts), seed=seed, steps=plan.steps)
    finally:
        recorder.close()
    return recorder.moments
