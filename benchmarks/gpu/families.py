"""A family's whole chain at true size: a concept tuned, two fused and released, drawn by regions, exported.

Weights are random, one concept is hardly taught, the other noise: time and memory are those of good ones.
"""

import gc
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks.gpu.fusion import LEAN, concept
from benchmarks.private_folder import candidates
from benchmarks.timing import card_gigabytes, peak_megabytes, seconds
from benchmarks.tuning import sd15, sdxl
from benchmarks.tuning.loops import our_trainer
from benchmarks.tuning.sd15 import hosted
from fedshow.commands.output import say
from fedshow.concepts import ConceptFile, write_concept
from fedshow.families import Base
from fedshow.formats import FORMATS, export_model
from fedshow.releases.loading import load_release
from fedshow.releases.writing import write_release
from fedshow.sampling.regions import Region
from fedshow_client.tuning.checkpoint import Progress
from fedshow_client.tuning.recipe import Recipe
from fedshow_server.fusion.fuse import Fused, fuse
from fedshow_server.fusion.offline import content_of
from fedshow_server.fusion.placing import settle
from fedshow_server.fusion.recording import Plan
from fedshow_server.fusion.workers import Here
from tests.stage.concepts import header_for

T = TypeVar("T")
Figures = dict[str, Any]
MAKERS: dict[str, tuple[Callable[[str, dict[str, Any]], Base], dict[str, Any], dict[str, Any]]] = {
    "sd1": (sd15.sd15, sd15.FULL, sd15.TINY),
    "sdxl": (sdxl.sdxl, sdxl.FULL, sdxl.TINY),
}
"""By family what makes such a base, its true sizes and toy ones."""

TUNE_STEPS, SAMPLE_STEPS = 3, 2
PROMPT = "two friends on the beach"
TOY = Plan(fit_seeds=(0,), fit_prompts=1, things=1, texts=2, steps=1)


def measure(family: str, device: str, tiny: bool) -> Iterator[Figures]:
    """Seconds and peaks of each stage, `FAMILY_STAGE_…`, as soon as it is over."""
    with tempfile.TemporaryDirectory() as work:
        for found in _Chain(family, Path(work), device, tiny).stages():
            yield {f"{family}_{name}": value for name, value in found.items()}


@dataclass(frozen=True)
class _Chain:
    """The life of two concepts on one base, all files of it below `work`."""

    family: str
    work: Path
    device: str
    tiny: bool

    def stages(self) -> Iterator[Figures]:
        """Figures stage by stage; each needs what those before it have made."""
        base, found = self._staged("base", self._base)
        yield found
        tuned, found = self._staged("tune", partial(self._tune, base))
        yield found
        concepts = [tuned, concept(self.work, base.card, 0)]
        plan = TOY if self.tiny else LEAN
        fused, found = self._staged("fuse", partial(self._fuse, base, concepts, plan))
        yield found
        release, found = self._staged("release", partial(self._release, base, concepts, fused))
        yield found | {"release_megabytes": megabytes(release)}
        edge, regions = base.sample_pixels, _side_by_side(concepts)
        del base, fused  # the card is the release's alone
        model, found = self._staged("load", partial(load_release, release, self.device))
        yield found
        draw = partial(model, PROMPT, regions=regions, steps=SAMPLE_STEPS, height=edge, width=edge)
        draw()  # unmeasured: kernels are chosen
        _, found = self._staged("sample", draw)
        yield found | {"sample_precision": str(model.base.dtype).removeprefix("torch.")}
        yield from self._exports(release)

    def _exports(self, release: Path) -> Iterator[Figures]:
        """The release in every format, then all of them together."""
        spent, size = 0.0, 0.0
        for name, each in FORMATS.items():
            out = self.work / "exported" / name / f"out{each.suffix}"
            out.parent.mkdir(parents=True)
            _, found = self._staged("export", partial(export_model, release, name, out))
            spent, size = spent + found["export_seconds"], size + megabytes(out.parent)
            yield {
                f"export_{name}_seconds": found["export_seconds"],
                f"export_{name}_megabytes": megabytes(out.parent),
            }
        yield {
            "export_seconds": spent,
            "export_megabytes": size,
            "export_host_gigabytes": found["export_host_gigabytes"],
        }

    def _staged(self, stage: str, run: Callable[[], T]) -> tuple[T, Figures]:
        """What a stage made; its seconds, and the most memory on the card and, so far, on the host."""
        made: list[T] = []
        gc.collect()
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        found = {f"{stage}_seconds": seconds(lambda: made.append(run()))}
        if self.device == "cuda":
            found[f"{stage}_gigabytes"] = card_gigabytes()
        found[f"{stage}_host_gigabytes"] = peak_megabytes() / 1024
        return made[0], found

    @property
    def _sizes(self) -> dict[str, Any]:
        _, full, tiny = MAKERS[self.family]
        return tiny if self.tiny else full

    def _base(self) -> Base:
        """As users have it: in a folder in half precision, opened in host memory."""
        make, *_ = MAKERS[self.family]
        base, folder = make(self.device, self._sizes), self.work / "base"
        base.pipeline.to(dtype=torch.float16).save_pretrained(folder)
        base.pipeline.to(dtype=torch.float32)
        return replace(hosted(base), folder=str(folder))

    def _tune(self, base: Base) -> ConceptFile:
        """By the trainer of `fedshow tune`, latents and all."""
        someone = sd15.photos(self.work, self._sizes["picture_edge"])
        few: dict[str, Any] = {"batch": 2, "variants": 2} if self.tiny else {}
        recipe = Recipe.for_base(base, steps=TUNE_STEPS, **few)
        images = candidates(someone, captions=False)
        trainer = our_trainer(base, someone, images, recipe, device=self.device)
        trainer.run(Progress(), lambda *_: None, lambda: False)
        tensors = {key: value.half() for key, value in trainer.concept_tensors().items()}
        hosted(trainer.model.restore())
        header = header_for(base.card, someone.concept, someone.class_word, recipe.rank)
        return write_concept(self.work / f"{someone.concept}.safetensors", header, tensors)

    def _fuse(self, base: Base, concepts: list[ConceptFile], plan: Plan) -> Fused:
        """As `fedshow fuse` does it."""
        workers = Here(base, settle(base, self.device, say))
        fused = fuse(base, concepts, plan=plan, workers=workers)
        hosted(base)
        return fused

    def _release(self, base: Base, concepts: list[ConceptFile], fused: Fused) -> Path:
        folder = self.work / "release"
        write_release(folder, base, content_of(concepts, fused, {}, {"method": "gradient"}))
        return folder


def megabytes(folder: Path) -> float:
    """Of all files in it."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _side_by_side(concepts: list[ConceptFile]) -> list[Region]:
    """A region for each of two concepts."""
    boxes = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))
    return [
        Region(box=box, prompt=f"a <{each.header.name}>")
        for box, each in zip(boxes, concepts, strict=True)
    ]
