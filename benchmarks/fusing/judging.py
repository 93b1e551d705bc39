"""Fusions of the benchmark's sets by every rule, judged by inputs that neither fit nor choice has seen."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.fusing.drawing import GENERIC, GENERIC_STEPS, concept_of
from fedshow.concepts import ConceptFile
from fedshow.families import Base
from fedshow.sampling.model import Model
from fedshow_server.fusion import prompts
from fedshow_server.fusion.fuse import fuse, ledger_of
from fedshow_server.fusion.ledger import Ledger
from fedshow_server.fusion.recording import Drawn, Plan, record
from fedshow_server.fusion.rules import FUSIONS, OWN_METHOD_ONLY
from fedshow_server.fusion.sums import Layer, energy
from fedshow_server.fusion.update import Update, smallest

REFINED = "gradient-refined"
"""Gradient fusion, recorded once more through the fused model (`fuse --refine 1`)."""

RULES = (*(rule for rule in FUSIONS if rule not in OWN_METHOD_ONLY), REFINED)
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
    refined = fuse(base, concepts, plan=plan, ledger=work / "ledger", refine=1).updates
    with ledger_of(base, plan, work / "ledger") as ledger:
        found = {}
        for rule in RULES:
            tensors: dict[str, Tensor] = {}
            solutions = solved(rule, ledger, characters, refined)
            found[rule] = judged(solutions, characters, tensors, tests, generic)
            out = fused_path(rule, characters, work)
            out.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, out)
        return found


def judged(
    solutions: Iterable[tuple[Layer, Update]],
    characters: Sequence[str],
    tensors: dict[str, Tensor],
    tests: Mapping[str, Moments],
    generic: Moments,
) -> dict[str, Any]:
    """Residual per concept and drift, means over layers; updates go into `tensors`."""
    missed: dict[str, list[float]] = {name: [] for name in characters}
    drifts = []
    for layer, update in solutions:
        delta_OI, signals = update.delta_OI, []
        tensors |= {k: t.float().contiguous() for k, t in update.tensors(layer.name).items()}
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


def solved(
    rule: str,
    ledger: Ledger,
    characters: Sequence[str],
    refined: Mapping[str, Update] = MappingProxyType({}),
) -> Iterator[tuple[Layer, Update]]:
    """What a rule makes of each layer."""
    for layer in ledger.layers(dict.fromkeys(characters, 1.0)):
        if rule == REFINED:
            yield layer, refined[layer.name]
        else:
            yield layer, smallest(FUSIONS[rule](layer).delta_OI, layer.parts(moments=False))


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
