"""Fusing checked concepts into one update of a base: record, solve layer by layer, report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedshow.concepts import ConceptFile
from fedshow.errors import InvalidInput
from fedshow.families import Base
from fedshow.sampling.model import Model
from fedshow_server.fusion import prompts
from fedshow_server.fusion.layer import Inputs, Part, Update
from fedshow_server.fusion.recording import Moments, Plan, record
from fedshow_server.fusion.report import layer_report
from fedshow_server.fusion.rules import FUSIONS, NEEDS_INPUTS
from fedshow_server.unfusable import UnfusableConcept

Say = Callable[[str], None]


@dataclass(frozen=True)
class Fused:
    """The fused update per layer, and what the statistics say about it."""

    updates: dict[str, Update]
    report: dict[str, object]


@dataclass(frozen=True)
class Recording:
    """Moments for the fit and for choosing the regularisation."""

    fit: Moments
    heldout: Moments

    def is_finite(self) -> bool:
        """Whether the model drew anything that can be used."""
        return self.fit.are_finite() and self.heldout.are_finite()


def fuse(
    base: Base,
    concepts: Sequence[ConceptFile],
    method: str = "gradient",
    weights: Mapping[str, float] | None = None,
    say: Say = lambda _: None,
    plan: Plan = Plan(),  # noqa: B008  # frozen
) -> Fused:
    """Fuses concepts that were checked against `base`; order does not matter.

    Raises InvalidInput for an empty set, two concepts of one name, an unknown method or weight,
    and UnfusableConcept for one that makes the base read anything but numbers.
    """
    concepts = sorted(concepts, key=lambda concept: concept.header.name)
    _check(concepts, method, weights or {})
    recordings = record_all(base, concepts, plan, say) if method in NEEDS_INPUTS else None
    parts = layer_parts(concepts, weights or {})
    updates, layers = {}, {}
    for layer, own in parts.items():
        inputs = recordings and layer_inputs(base.family.input_of(layer), recordings)
        updates[layer] = FUSIONS[method](own, inputs or None)
        if inputs:
            layers[layer] = layer_report(own, inputs, updates[layer])
    say(f"solved {len(updates)} layers")
    names = [concept.header.name for concept in concepts]
    return Fused(updates, {"method": method, "concepts": names, "layers": layers})


def record_all(
    base: Base, concepts: Sequence[ConceptFile], plan: Plan, say: Say
) -> list[Recording]:
    """One recording per concept under its own single-concept model, then one of the bare base."""
    found = []
    for concept in concepts:
        name = concept.header.name
        say(f"recording <{name}>")
        fit, heldout = (prompts.for_concept(t, name) for t in (prompts.FIT, prompts.HELDOUT))
        found.append(_record_both(base, [concept], plan, fit, heldout))
        if not found[-1].is_finite():
            raise UnfusableConcept(name, "drawing with it gives NaN or infinity")
    say("recording generic prompts")
    classes = sorted({concept.header.class_word for concept in concepts})
    fit = prompts.generic(prompts.GENERIC_FIT, classes)
    heldout = prompts.generic(prompts.GENERIC_HELDOUT, classes)
    return [*found, _record_both(base, [], plan, fit, heldout)]


def _record_both(
    base: Base, concepts: Sequence[ConceptFile], plan: Plan, fit: list[str], heldout: list[str]
) -> Recording:
    """What the base with these concepts reads; the base is left as it was."""
    model = Model(base)
    try:
        for concept in concepts:
            model.add_concept(concept)
        return Recording(
            record(model, fit, plan.fit_seeds, plan.steps),
            record(model, heldout, plan.heldout_seeds, plan.steps),
        )
    finally:
        model.restore()


def layer_inputs(name: str, recordings: Sequence[Recording]) -> Inputs:
    """The moments of one input; the last recording is the base's own."""
    *own, generic = recordings
    return Inputs(
        fit=[recording.fit.mean(name) for recording in own],
        heldout=[recording.heldout.mean(name) for recording in own],
        generic=generic.fit.mean(name),
        generic_heldout=generic.heldout.mean(name),
    )


def layer_parts(
    concepts: Sequence[ConceptFile], weights: Mapping[str, float]
) -> dict[str, list[Part]]:
    """Per layer the adapters of all concepts, in float64; a concept without one there has rank 0."""
    tensors = [concept.tensors() for concept in concepts]
    layers = sorted(
        {key.removesuffix(".lora_A.weight") for t in tensors for key in t if "lora_A" in key}
    )
    return {
        layer: [
            _part(layer, own, concept.header.scale, weights.get(concept.header.name, 1.0), tensors)
            for own, concept in zip(tensors, concepts, strict=True)
        ]
        for layer in layers
    }


def _part(
    layer: str,
    own: Mapping[str, Tensor],
    scale: float,
    weight: float,
    everyone: list[dict[str, Tensor]],
) -> Part:
    down, up = f"{layer}.lora_A.weight", f"{layer}.lora_B.weight"
    if down in own:
        return Part(own[down].double(), own[up].double() * scale, weight)
    like = next(tensors for tensors in everyone if down in tensors)
    nothing = torch.zeros(0, like[down].shape[1], dtype=torch.float64)
    return Part(nothing, torch.zeros(like[up].shape[0], 0, dtype=torch.float64), weight)


def _check(concepts: Sequence[ConceptFile], method: str, weights: Mapping[str, float]) -> None:
    if method not in FUSIONS:
        raise InvalidInput(f"method {method!r}: use one of {', '.join(FUSIONS)}")
    if not concepts:
        raise InvalidInput("nothing to fuse: give at least one concept file")
    names = [concept.header.name for concept in concepts]
    for first, second in zip(names, names[1:], strict=False):
        if first == second:
            raise InvalidInput(f"two concepts are named {first!r}: rename one and tune it again")
    for name, weight in weights.items():
        if name not in names:
            raise InvalidInput(f"weight for {name!r}, which is not among {', '.join(names)}")
        if not 0 < weight < 1000:
            raise InvalidInput(f"weight {weight} for {name!r}: must be between 0 and 1000")
