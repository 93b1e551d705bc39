"""Fusions of the benchmark's sets by every rule, judged by inputs that neither fit nor choice has seen."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

import fedshow_server.fusion
from benchmarks.fusing.drawing import GENERIC, GENERIC_STEPS, concept_of
from fedshow.concepts import ConceptFile
from fedshow.families import Base
from fedshow.releases.updates import deltas
from fedshow.sampling.model import Model
from fedshow_server.fusion import prompts
from fedshow_server.fusion.fuse import bring_in, fuse, ledger_of, unrecorded_layers
from fedshow_server.fusion.recording import Drawn, Plan, record
from fedshow_server.fusion.rules import FUSIONS, OWN_METHOD_ONLY
from fedshow_server.fusion.sums import Layer, energy
from fedshow_server.fusion.update import tensors_of
from fedshow_server.fusion.workers import Here

REFINED = "gradient-refined"
"""Gradient fusion, recorded once more through the fused model (`fuse --refine 1`)."""

CHOOSERS = ("gradient", "subspace")
"""Rules that choose settings by unseen inputs."""

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


def solve_set(
    base: Base, characters: Sequence[str], work: Path, plan: Plan, rules: Collection[str]
) -> None:
    """Fuses one set by these rules, each into its file, where the base lies."""
    concepts = [concept_of(character, work, base) for character in characters]
    recorded_as = sha256(f"{plan.settings} {base.card.sha256}".encode()).hexdigest()[:8]
    folder, workers = work / f"ledger-{recorded_as}", Here(base)
    if REFINED in rules:
        refined = fuse(base, concepts, plan=plan, ledger=folder, refine=1)
        keep(tensors_of(refined.updates), fused_path(REFINED, characters, work))
    with ledger_of(base, plan, folder, workers.device) as ledger:
        bring_in(ledger, base, concepts, plan, print, workers)
        for rule in (rule for rule in rules if rule != REFINED):
            layers = ledger.layers(dict.fromkeys(characters, 1.0))
            keep(fused_by(rule, layers, base), fused_path(rule, characters, work))


def fused_by(rule: str, layers: Iterable[Layer], base: Base) -> dict[str, Tensor]:
    """The fused update as a release keeps it, solved where the base lies."""
    return tensors_of({layer.name: update for layer, update in Here(base).solve(rule, layers)})


def keep(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Writes a fused update."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.float().contiguous() for key, tensor in tensors.items()}, path)


def source_of(rule: str) -> str:
    """Changes with what a rule makes of a set: the digest of its own code, and of the choice's."""
    names = [f"rules/{rule.removesuffix('-refined').replace('-', '_')}.py"]
    if rule in (*CHOOSERS, REFINED):
        names.append("sums.py")
    folder = Path(fedshow_server.fusion.__file__).parent
    return sha256("".join((folder / name).read_text() for name in names).encode()).hexdigest()


def judged(
    base: Base, characters: Sequence[str], tensors: Mapping[str, Tensor], work: Path
) -> dict[str, Any]:
    """What a fused update misses of each concept, and how far it moves the base, on unseen inputs.

    Means over layers, relative to what concepts do there on average: one that does next to nothing in a
    layer can lose next to nothing. Queries are judged by the keys that they meet.
    """
    concepts = [concept_of(character, work, base) for character in characters]
    tests = [test_moments(base, concept, work) for concept in concepts]
    generic, fused = generic_moments(base, work), dict(deltas(tensors))
    missed: list[list[float]] = [[] for _ in concepts]
    shown: list[list[float]] = [[] for _ in concepts]
    drifts = []
    for layer in unrecorded_layers(base, concepts, dict.fromkeys(characters, 1.0)):
        parts, delta_OI, read = list(layer.parts()), fused[layer.name], layer.input_name
        keys = base.family.keys_of(layer.name)
        if keys is not None:
            parts, delta_OI, read = [part.turned for part in parts], delta_OI.T, keys
        reads = [moments[read] for moments in tests]
        signal = fmean(energy(p.delta_OI, m) for p, m in zip(parts, reads, strict=True))
        for k, (part, moment_II) in enumerate(zip(parts, reads, strict=True)):
            missed[k].append(energy(delta_OI - part.delta_OI, moment_II) / signal)
            if base.family.is_cross_attention(layer.name):
                shown[k].append(missed[k][-1])
        drifts.append(energy(delta_OI, generic[read]) / signal)
    names = [concept.header.name for concept in concepts]
    return {
        "heldout": {n: fmean(values) for n, values in zip(names, missed, strict=True)},
        "shown": {n: fmean(values) for n, values in zip(names, shown, strict=True)},
        "drift_statistic": fmean(drifts),
    }


def fused_path(rule: str, characters: Sequence[str], work: Path) -> Path:
    """Where the fused update lies, however many there are and whatever they are called."""
    named = sha256(" ".join(characters).encode()).hexdigest()[:12]
    return work / "fused" / f"{rule}-{len(characters)}-{named}.safetensors"


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
