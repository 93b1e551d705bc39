"""Fusions of the benchmark's sets by every rule, judged by inputs that neither fit nor choice has seen."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.fusing.drawing import GENERIC, GENERIC_STEPS, concept_of
from fedshow.concepts import ConceptFile
from fedshow.families import Base
from fedshow.sampling.model import Model
from fedshow_server.fusion import prompts
from fedshow_server.fusion.fuse import bring_in, ledger_of
from fedshow_server.fusion.ledger import Ledger
from fedshow_server.fusion.recording import Drawn, Plan, record
from fedshow_server.fusion.rules import FUSIONS, OWN_METHOD_ONLY
from fedshow_server.fusion.sums import Layer, energy
from fedshow_server.fusion.update import smallest

RULES = tuple(rule for rule in FUSIONS if rule not in OWN_METHOD_ONLY)
TEST_SEED = 3000
"""Neither the fit's nor the choice's: those are below 2000."""

TEST_STEPS = 10
TEST = (
    "photograph of the {0} near a river",
    "{0} again",
    "here comes a {0} in spring",
    "look, a {0} between rocks",
    "a tiny {0} far away on an island",
    "two pictures of a {0} under a bridge",
)
"""Neither drawn nor read by a fusion."""

Moments = dict[str, Tensor]


def fuse_set(base: Base, characters: Sequence[str], work: Path, plan: Plan) -> dict[str, Any]:
    """Fuses one set by every rule; updates go to files, figures come back."""
    concepts = [concept_of(character, work) for character in characters]
    tests = {c.header.name: test_moments(base, c, work) for c in concepts}
    generic = generic_moments(base, work)
    with ledger_of(base, plan, work / "ledger") as ledger:
        bring_in(ledger, base, concepts, plan, print)
        found = {}
        for rule in RULES:
            tensors: dict[str, Tensor] = {}
            found[rule] = judged(rule, ledger, characters, tensors, tests, generic)
            out = fused_path(rule, characters, work)
            out.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, out)
        return found


def judged(
    rule: str,
    ledger: Ledger,
    characters: Sequence[str],
    tensors: dict[str, Tensor],
    tests: Mapping[str, Moments],
    generic: Moments,
) -> dict[str, Any]:
    """Fuses into `tensors`; residual per concept and drift, means over layers."""
    missed: dict[str, list[float]] = {name: [] for name in characters}
    drifts = []
    for layer, delta_OI in _solved(rule, ledger, characters, tensors):
        signals = []
        for name, part in zip(sorted(characters), layer.parts(moments=False), strict=True):
            own_II = tests[name][layer.input_name]
            signal = energy(part.delta_OI, own_II)
            signals.append(signal)
            if signal:
                missed[name].append(energy(delta_OI - part.delta_OI, own_II) / signal)
        if any(signals):
            drifts.append(energy(delta_OI, generic[layer.input_name]) / fmean(signals))
    return {
        "heldout": {name: fmean(values) for name, values in missed.items()},
        "drift_statistic": fmean(drifts),
    }


def _solved(
    rule: str, ledger: Ledger, characters: Sequence[str], tensors: dict[str, Tensor]
) -> Iterator[tuple[Layer, Tensor]]:
    for layer in ledger.layers(dict.fromkeys(characters, 1.0)):
        update = smallest(FUSIONS[rule](layer).delta_OI, layer.parts(moments=False))
        for key, tensor in update.tensors(layer.name).items():
            tensors[key] = tensor.float().contiguous()
        yield layer, update.delta_OI


def fused_path(rule: str, characters: Sequence[str], work: Path) -> Path:
    """Where the fused update lies."""
    return work / "fused" / f"{rule}-{'-'.join(characters)}.safetensors"


def test_moments(base: Base, concept: ConceptFile, work: Path) -> Moments:
    """What layers read on prompts of the test."""
    name = concept.header.name
    path = work / "tests" / f"{name}.safetensors"
    return _recorded(base, [concept], prompts.for_concept(TEST, name), path)


def generic_moments(base: Base, work: Path) -> Moments:
    """What the bare base reads on the hundred prompts."""
    return _recorded(base, [], GENERIC, work / "tests" / "generic.safetensors")


def _recorded(
    base: Base, concepts: Sequence[ConceptFile], texts: Sequence[str], path: Path
) -> Moments:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        model = Model(base)
        try:
            for concept in concepts:
                model.add_concept(concept)
            plan = Plan(steps=TEST_STEPS if concepts else GENERIC_STEPS)
            drawn = Drawn(tuple(texts), tuple(texts), (TEST_SEED,))
            save_file(record(model, drawn, plan).means(), path)
        finally:
            model.restore()
    found: Moments = load_file(path)
    return found
