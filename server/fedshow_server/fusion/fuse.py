"""Fusing checked concepts into one update of a base: record what is new, solve layer by layer, report."""

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fedshow.concepts import ConceptFile
from fedshow.concepts.keys import DOWN, UP
from fedshow.errors import InvalidInput
from fedshow.families import Base
from fedshow.saying import Say
from fedshow_server.fusion.ledger import Ledger, check_weight, open_ledger
from fedshow_server.fusion.ledger.tensors import CPU
from fedshow_server.fusion.pictures import report_pictures
from fedshow_server.fusion.recording import Plan, check_prompts
from fedshow_server.fusion.report import layer_report
from fedshow_server.fusion.rules import FUSIONS, NEEDS_INPUTS, OWN_METHOD_ONLY
from fedshow_server.fusion.rules.gradient import gradient_fusion
from fedshow_server.fusion.statistics import Seen, Statistics
from fedshow_server.fusion.summary import summary_of
from fedshow_server.fusion.sums import Layer, Part, layer_of, no_adapter
from fedshow_server.fusion.update import Update, tensors_of
from fedshow_server.fusion.vetting import Vetting
from fedshow_server.fusion.wiring import Wiring
from fedshow_server.fusion.workers import Here, Subject, Workers


@dataclass(frozen=True)
class Fused:
    """The fused update per layer, and what the statistics say about it."""

    updates: dict[str, Update]
    report: dict[str, object]
    pictures: dict[str, bytes]
    """The report as PNGs, by file name."""


def fuse(
    base: Base,
    concepts: Sequence[ConceptFile],
    method: str = "gradient",
    weights: Mapping[str, float] | None = None,
    say: Say = lambda _: None,
    plan: Plan = Plan(),  # noqa: B008  # frozen
    ledger: Path | None = None,
    judge: bool = False,
    workers: Workers | None = None,
    refine: int = 0,
    vetting: Vetting | None = None,
) -> Fused:
    """Fuses concepts that were checked against `base`; order does not matter.

    Concepts are recorded once per `ledger` folder, and once per call without one. Rules that need no
    recordings are judged, too, where `judge` asks for it. `workers` record and solve; without them, this
    process does. `refine`: how many times to record once more, through the model as it is fused, and to
    solve again. `vetting` looks at concepts when they are recorded. Raises InvalidInput for an empty set,
    two concepts of one name, an unknown method or weight, UnfusableConcept for one that makes the base
    read anything but numbers or more than it can read, and OddConcept.
    """
    concepts = sorted(concepts, key=lambda concept: concept.header.name)
    _check(concepts, method, weights or {})
    if refine and method not in NEEDS_INPUTS:
        raise InvalidInput(f"refining records inputs, which method {method!r} does not use")
    workers = workers or Here(base)
    chosen = {c.header.name: (weights or {}).get(c.header.name, 1.0) for c in concepts}
    if method not in NEEDS_INPUTS and not judge:
        layers = unrecorded_layers(base, concepts, chosen)
        return _solve(workers, layers, method, [], base.family.is_cross_attention, say)
    job = _Job(base, concepts, chosen, method, plan, say, workers)
    with ledger_of(base, plan, ledger, workers.device) as opened:
        bring_in(opened, base, concepts, plan, say, workers, vetting)
        fused = job.solve(opened, is_last=refine == 0)
        for left in reversed(range(refine)):
            fused = job.refined(fused, opened, is_last=left == 0)
        return fused


@dataclass(frozen=True)
class _Job:
    """One set of concepts to fuse by one rule."""

    base: Base
    concepts: Sequence[ConceptFile]
    weights: Mapping[str, float]
    method: str
    plan: Plan
    say: Say
    workers: Workers

    def solve(self, ledger: Ledger, is_last: bool) -> Fused:
        """From what the ledger knows; the last solution alone is judged."""
        layers, judged = ledger.layers(self.weights), list(self.weights) if is_last else []
        shows = self.base.family.is_cross_attention
        return _solve(self.workers, layers, self.method, judged, shows, self.say)

    def refined(self, fused: Fused, ledger: Ledger, is_last: bool) -> Fused:
        """Solved for what layers read in the fused model, which is not quite what they read in single ones.

        That depends on all concepts at once, so that no ledger keeps it.
        """
        through = replace(self.plan, through=tensors_of(fused.updates))
        self.say("recording through the fused model")
        with ledger_of(self.base, through, device=self.workers.device) as again:
            for word in {"", *(concept.header.class_word for concept in self.concepts)}:
                again.add_generic(word, ledger.generic(word))
            bring_in(again, self.base, self.concepts, through, self.say, self.workers)
            return self.solve(again, is_last)


@contextmanager
def ledger_of(
    base: Base, plan: Plan, folder: Path | None = None, device: torch.device = CPU
) -> Iterator[Ledger]:
    """The ledger in `folder`, or one that is gone afterwards; its layers come on `device`.

    Raises what `open_ledger` does.
    """
    wiring = Wiring.of(base.card, base.family)
    with (
        tempfile.TemporaryDirectory(prefix="fedshow-ledger-") as temporary,
        open_ledger(folder or Path(temporary), wiring, plan.settings, device) as ledger,
    ):
        yield ledger


def bring_in(
    ledger: Ledger,
    base: Base,
    concepts: Sequence[ConceptFile],
    plan: Plan,
    say: Say,
    workers: Workers | None = None,
    vetting: Vetting | None = None,
) -> None:
    """Records those that the ledger does not have; one of an earlier file of that name gives way.

    Raises UnfusableConcept, BaseMismatch, and OddConcept for what `vetting` finds.
    """
    workers = workers or Here(base)
    for subject, found in workers.record(_unrecorded(ledger, base, concepts, plan, say), plan):
        if isinstance(found, Seen):
            assert isinstance(subject, str)
            ledger.add_generic(subject, found)
        else:
            assert isinstance(subject, ConceptFile)
            _keep(ledger, base, subject, found, vetting)
        del found  # gigabytes, of which the next thing that is recorded needs the place


def _keep(
    ledger: Ledger, base: Base, concept: ConceptFile, found: Statistics, vetting: Vetting | None
) -> None:
    ledger.check(found)
    if vetting is not None:
        vetting.check(concept, found, base, ledger.generic_moment, ledger.norms)
    if ledger.digest_of(found.name) is not None:
        ledger.forget(found.name)
    ledger.add(found)


def _unrecorded(
    ledger: Ledger, base: Base, concepts: Sequence[ConceptFile], plan: Plan, say: Say
) -> Iterator[Subject]:
    """What to draw: before each new concept the base on its class word. Raises UnfusableConcept."""
    asked: set[str] = set()
    for concept in concepts:
        header = concept.header
        if ledger.digest_of(header.name) == concept.sha256:
            continue
        check_prompts(base, concept, plan)
        for word in ("", header.class_word):
            if word not in asked and not ledger.has_generic(word):
                asked.add(word)
                say(f"recording the base on {word or 'generic prompts'}")
                yield word
        say(f"recording <{header.name}>")
        yield concept


def remove_all(ledger: Ledger, names: Collection[str], say: Say) -> None:
    """Removes those of these concepts that are there; the ledger keeps the receipts."""
    for name in sorted(set(ledger.weights) & set(names)):
        receipt = ledger.remove(name, lambda layer: gradient_fusion(layer).delta_OI)
        say(
            f"removed <{name}>: the fusion of the others differs by {receipt.largest_difference:.1e} "
            "from one that never saw it"
        )


def _solve(
    workers: Workers,
    layers: Iterator[Layer],
    method: str,
    judged: list[str],
    shows: Callable[[str], bool],
    say: Say,
) -> Fused:
    updates, reports = {}, {}
    for layer, update in workers.solve(method, layers):
        updates[layer.name] = update
        if judged:
            reports[layer.name] = layer_report(layer, update, shows(layer.name))
    say(f"solved {len(updates)} layers")
    summary = summary_of(judged, reports)
    report: dict[str, object] = {
        "method": method,
        "concepts": judged,
        "summary": summary,
        "layers": reports,
    }
    return Fused(updates, report, report_pictures(judged, reports, summary))


def unrecorded_layers(
    base: Base, concepts: Sequence[ConceptFile], weights: Mapping[str, float]
) -> Iterator[Layer]:
    """Every adapted layer with the adapters alone."""
    tensors = [concept.tensors() for concept in concepts]
    for layer, (width_in, width_out) in sorted(base.card.layers.items()):
        down, up = layer + DOWN, layer + UP
        if not any(down in own for own in tensors):
            continue
        parts = []
        for concept, own in zip(concepts, tensors, strict=True):
            weight = weights[concept.header.name]
            if down in own:
                scaled_OR = own[up].double() * concept.header.scale
                parts.append(Part(own[down].double(), scaled_OR, weight))
            else:
                parts.append(Part(*no_adapter(width_in, width_out), weight))
        nothing_II = torch.zeros(width_in, width_in, dtype=torch.float64)
        yield layer_of(layer, base.family.input_of(layer), parts, nothing_II, nothing_II)


def _check(concepts: Sequence[ConceptFile], method: str, weights: Mapping[str, float]) -> None:
    if method not in FUSIONS:
        raise InvalidInput(f"method {method!r}: use one of {', '.join(FUSIONS)}")
    if not concepts:
        raise InvalidInput("nothing to fuse: give at least one concept file")
    for concept in concepts if method in OWN_METHOD_ONLY else []:
        if concept.header.method != method:
            raise InvalidInput(
                f"method {method!r} fuses concepts of that method only; "
                f"{concept.header.name!r} was tuned as {concept.header.method!r}"
            )
    names = [concept.header.name for concept in concepts]
    for first, second in zip(names, names[1:], strict=False):
        if first == second:
            raise InvalidInput(f"two concepts are named {first!r}: rename one and tune it again")
    for name, weight in weights.items():
        if name not in names:
            raise InvalidInput(f"weight for {name!r}, which is not among {', '.join(names)}")
        check_weight(name, weight)
