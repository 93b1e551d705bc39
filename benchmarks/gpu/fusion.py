"""Fourteen concepts of SD 1.5's shape fused as the product does it, stage by stage, and the paper's solver.

Weights and adapters are random, which changes nothing of time and memory; 512 pixels, 20 steps.
"""

import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from benchmarks.fusing.solver import lbfgs_on_inputs
from benchmarks.fusing.whole_fusion import input_counts
from benchmarks.timing import card_gigabytes, median_seconds, peak_megabytes, seconds, wait
from benchmarks.tuning.sd15 import FULL, TINY, hosted, sd15
from fedshow.commands.output import say
from fedshow.concepts import ConceptFile
from fedshow.families import Base, BaseCard
from fedshow.families.encoded import Encoded
from fedshow_server.fusion.fuse import fuse, ledger_of
from fedshow_server.fusion.placing import settle
from fedshow_server.fusion.recording import Drawn, Plan
from fedshow_server.fusion.rules.lbfgs import OTHER_ITERATIONS, TEXT_ITERATIONS, reads_text
from fedshow_server.fusion.sums import Layer
from fedshow_server.fusion.update import Update
from fedshow_server.fusion.workers import Here, Recorded, Subject, fitted
from tests.stage.concepts import random_concept

CONCEPTS, RANK = 14, 4
CLASSES = ("man", "woman", "dog", "chair")
LEAN = Plan(fit_seeds=(0,), fit_prompts=4, things=4)
"""What `make bench-fusion`'s curve says is enough: as shipped, fusions draw two to three times as much."""

TOY = Plan(fit_seeds=(0,), fit_prompts=2, things=2, texts=2, steps=2)
LBFGS_SECONDS = 90.0
"""After which no further shape is begun."""

T = TypeVar("T")
Shape = tuple[int, int, int, int]
"""Width of a layer's input and of its output, inputs of one concept, iterations in the paper."""


def measure(device: str, tiny: bool) -> Iterator[dict[str, Any]]:
    """The whole fusion and its stages, then L-BFGS on as many inputs as were recorded."""
    with tempfile.TemporaryDirectory() as work:
        base, plan, concepts = _setting(device, tiny, LEAN, Path(work))
        found = _whole(base, plan, concepts, Path(work) / "ledger")
        yield found
        yield _lbfgs(base, plan, concepts, found["solve_14_seconds"])


def measure_as_shipped(device: str, tiny: bool) -> Iterator[dict[str, Any]]:
    """The same fusion with as many pictures as the product draws by itself."""
    with tempfile.TemporaryDirectory() as work:
        found = _whole(*_setting(device, tiny, Plan(), Path(work)), Path(work) / "ledger")
        yield {f"as_shipped_{name}": value for name, value in found.items()}


def _setting(
    device: str, tiny: bool, plan: Plan, work: Path
) -> tuple[Base, Plan, list[ConceptFile]]:
    base = hosted(sd15(device, TINY if tiny else FULL))
    plan = fitted(TOY if tiny else plan, settle(base, device, say))
    numbers = range(3 if tiny else CONCEPTS)
    return base, plan, [concept(work, base.card, k) for k in numbers]


def concept(
    folder: Path,
    card: BaseCard,
    number: int,
    rank: int = RANK,
    classes: Sequence[str] = CLASSES,
) -> ConceptFile:
    """A random concept as strong as a tuned one; their names are in the order of their numbers."""
    name = f"concept-{chr(ord('a') + number // 26)}{chr(ord('a') + number % 26)}"
    class_word = classes[number % len(classes)]
    return random_concept(
        folder / f"{name}.safetensors", card, name, number, rank, 0.02, class_word
    )


class Stages:
    """The product's workers, with a clock beside them."""

    def __init__(self, base: Base) -> None:
        self._here, self.device = Here(base), base.device
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.peak_megabytes: list[float] = []
        """Of host memory, after each concept."""

    def record(self, subjects: Iterable[Subject], plan: Plan) -> Iterator[tuple[Subject, Recorded]]:
        """`drawing` is the recording itself, `recording` also what the ledger does with it."""
        started = time.perf_counter()
        for subject, found in self._clocked("drawing", self._here.record(subjects, plan)):
            yield subject, found
            if not isinstance(subject, str):
                self.peak_megabytes.append(peak_megabytes())
        self._recorded = time.perf_counter()
        self.seconds["recording"] = self._recorded - started

    def solve(self, method: str, layers: Iterable[Layer]) -> Iterator[tuple[Layer, Update]]:
        """`sums` is what lies between recording and solving, whose time no clock here tells."""
        self.seconds["sums"] = time.perf_counter() - self._recorded
        return self._here.solve(method, layers)

    def _clocked(self, stage: str, things: Iterator[T]) -> Iterator[T]:
        while True:
            started = time.perf_counter()
            thing = next(things, None)
            wait()
            self.seconds[stage] += time.perf_counter() - started
            if thing is None:
                return
            yield thing


def _whole(base: Base, plan: Plan, concepts: list[ConceptFile], ledger: Path) -> dict[str, Any]:
    passes = pass_seconds(base, plan, concepts)  # first, so that all is warm
    stages = Stages(base)
    whole = seconds(lambda: fuse(base, concepts, plan=plan, ledger=ledger, workers=stages))
    spent, memory = stages.seconds, stages.peak_megabytes
    report = whole - spent["recording"] - spent["sums"]
    spent["rule"] = _rule_seconds(base, plan, ledger)
    solve = spent["sums"] + spent["rule"]
    return {
        "fusion_14_seconds": whole,
        "record_over_passes": spent["recording"] / passes,
        "solve_14_seconds": solve,
        "drawing_over_passes": spent["drawing"] / passes,
        "host_memory_14_over_1": memory[-1] / memory[0],
        "passes_seconds": passes,
        **{f"{stage}_seconds": value for stage, value in spent.items()},
        "rule_and_report_seconds": report,
        "pictures": sum(prompts * n for prompts, n in draws(plan, concepts).items()),
        "peak_gigabytes": peak_megabytes() / 1024,
        "host_megabytes_1_7_14": [memory[k - 1] for k in (1, (len(memory) + 1) // 2, len(memory))],
        "recorded_as": plan.settings,
    } | device_memory(base)


def _rule_seconds(base: Base, plan: Plan, folder: Path) -> float:
    """All layers solved once more from their sums, with nothing beside it: in the fusion, the report is."""
    solver = Here(base)
    with ledger_of(base, plan, folder, solver.device) as ledger:
        list(next(ledger.layers()).parts(moments=False))  # no file is checked on the clock
        return seconds(lambda: deque(solver.solve("gradient", ledger.layers()), maxlen=0))


def device_memory(base: Base) -> dict[str, float]:
    """The most that the card has held since the last reset; nothing without one."""
    if base.device.type != "cuda":
        return {}
    return {"device_peak_gigabytes": card_gigabytes()}


def draws(plan: Plan, concepts: Sequence[ConceptFile]) -> Counter[int]:
    """How often so many prompts are drawn together, over a whole fusion."""
    drawn: list[Drawn] = []
    for each in concepts:
        drawn += [plan.fit.naming(each.header.name), plan.heldout.naming(each.header.name)]
    for word in {"", *(each.header.class_word for each in concepts)}:
        drawn += plan.generic(word)
    found: Counter[int] = Counter()
    for one in drawn:
        found[len(one.prompts)] += len(one.seeds)
    return found


def pass_seconds(
    base: Base,
    plan: Plan,
    concepts: Sequence[ConceptFile],
    known: dict[int, float] | None = None,
) -> float:
    """The bare U-Net over all passes of the recording, guided batches of the same size and precision.

    Batches whose seconds are `known` are not measured again.
    """
    known = {} if known is None else known
    drawn = draws(plan, concepts)
    for prompts in drawn.keys() - known.keys():
        known[prompts] = median_seconds(bare_pass(base, 2 * prompts), 5)
    return sum(plan.steps * number * known[prompts] for prompts, number in drawn.items())


def bare_pass(base: Base, batch: int) -> Callable[[], Tensor]:
    """What runs the denoiser once on random latents, told as many random prompts of one slot."""
    config, (*_, last) = base.denoiser.config, base.text_encoders
    kind = {"device": base.device, "dtype": base.denoiser.dtype}
    latents = torch.randn(batch, config.in_channels, *[config.sample_size] * 2, **kind)
    features = torch.randn(batch, base.prompt_tokens, config.cross_attention_dim, **kind)
    pooled = torch.randn(batch, last.module.config.projection_dim, **kind) if last.pools else None
    time_step = torch.tensor(500, device=base.device)
    run = torch.no_grad()(base.denoise)
    return lambda: run(latents, time_step, Encoded(features, pooled))


def _lbfgs(base: Base, plan: Plan, concepts: list[ConceptFile], solve: float) -> dict[str, Any]:
    """One layer of each shape in full, those that most layers have first; extrapolated to all layers.

    Shapes for which no time is left count by their multiplications.
    """
    shapes, measured = _shapes(base, plan, concepts[0]), dict[Shape, float]()
    ended = time.perf_counter() + LBFGS_SECONDS
    for shape, _ in shapes.most_common():
        if not measured or time.perf_counter() < ended:
            measured[shape] = _one_layer(base.device, shape, len(concepts))
    rate = sum(map(_work, measured)) / sum(measured.values())
    whole = sum(n * measured.get(shape, _work(shape) / rate) for shape, n in shapes.items())
    return {
        "lbfgs_over_solve": whole / solve,
        "lbfgs_14_seconds_extrapolated": whole,
        "lbfgs_layers_measured": len(measured),
        "lbfgs_layers": shapes.total(),
        "lbfgs_layer_seconds": {"x".join(map(str, shape)): s for shape, s in measured.items()},
    }


def _shapes(base: Base, plan: Plan, concept: ConceptFile) -> Counter[Shape]:
    counts = input_counts(base, concept, plan)
    found: Counter[Shape] = Counter()
    for layer, (width_in, width_out) in base.card.layers.items():
        name = base.family.input_of(layer)
        iterations = TEXT_ITERATIONS if reads_text(name) else OTHER_ITERATIONS
        found[width_in, width_out, counts[name], iterations] += 1
    return found


def _work(shape: Shape) -> float:
    width_in, width_out, count, iterations = shape
    return float(width_in * width_out * count * iterations)


def _one_layer(device: torch.device, shape: Shape, concepts: int) -> float:
    """Seconds for one layer on random inputs."""
    width_in, width_out, count, iterations = shape
    inputs = [torch.randn(count, width_in, device=device) for _ in range(concepts)]
    adapters = [torch.randn(width_out, width_in, device=device) * 0.01 for _ in range(concepts)]
    return seconds(lambda: lbfgs_on_inputs(inputs, adapters, iterations))
