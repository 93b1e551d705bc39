"""Pictures of concepts, by themselves and out of fused models, drawn once and read."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from statistics import fmean
from typing import Any

from PIL import Image
from safetensors.torch import load_file

from benchmarks.fusing.drawing import draw_generic, drift_of, generic_path
from benchmarks.fusing.judging import fused_path
from benchmarks.study.bench import Bench, Task, named
from benchmarks.study.material import Prompt, Read
from benchmarks.study.tuning import concept_of, file_of, folder_of
from fedshow.concepts import ConceptFile
from fedshow.edlora.adapters import Adapters
from fedshow.files import digest
from fedshow.releases.updates import as_adapters
from fedshow.sampling.model import Model

SEED = 7000
Members = tuple[str, ...]
Fusion = tuple[str, str, Members]
"""Way, rule and who is fused."""


def chosen(bench: Bench, name: str) -> tuple[Prompt, ...]:
    """The prompts of a concept that are drawn: all, or some of every type."""
    every = bench.material.prompts_of(name)
    return every[:: len(every) // bench.extent.prompts]


def single_task(bench: Bench, way: str, name: str, scale: float = 1.0) -> Task:
    """A concept by itself, its adapters counting `scale` times."""
    key = {"single": name, "way": way, "scale": scale, **facts(bench, [name])}
    return (
        key | {"file": digest(file_of(way, name, bench.work))[:16]},
        draw_single,
        (bench, way, name, scale),
    )


def draw_single(bench: Bench, way: str, name: str, scale: float) -> Read:
    """Its pictures, read."""
    with single_model(bench, way, name) as model:
        return look(bench, model, name, scale)


def bare_task(bench: Bench, name: str) -> Task:
    """The untuned base, told the class word: the least that a method can do."""
    return {"bare": name, **facts(bench, [name])}, draw_bare, (bench, name)


def draw_bare(bench: Bench, name: str) -> Read:
    """Its pictures, read."""
    word = bench.material.concepts[name].class_word
    prompts = chosen(bench, name)
    said = [replace(prompt, text=prompt.text.replace(f"<{name}>", word)) for prompt in prompts]
    return _read(bench, name, pictures(bench, Model(bench.base), said), prompts)


def fused_task(bench: Bench, way: str, rule: str, members: Members, drift: bool) -> Task:
    """Every concept of a set out of its fused model."""
    update = digest(fused_path(rule, members, folder_of(way, bench.work)))[:16]
    moved = named(bench.material.generic) if drift else False
    key = {"fused": members, "way": way, "rule": rule, "update": update, "drift": moved}
    return key | facts(bench, members), draw_fused, (bench, way, rule, members, drift)


def draw_fused(bench: Bench, way: str, rule: str, members: Members, drift: bool) -> dict[str, Any]:
    """Their pictures, read; and how far the base was moved."""
    with fused_model(bench, way, rule, members) as model:
        found: dict[str, Any] = {name: look(bench, model, name, 1.0) for name in members}
        moved = drift_of(model, bench.work, bench.material.generic) if drift else None
    return {"concepts": found, "drift": moved}


def look(bench: Bench, model: Model, name: str, scale: float) -> Read:
    """A concept's pictures out of a model, read."""
    prompts = chosen(bench, name)
    return _read(bench, name, pictures(bench, model, prompts, scale), prompts)


def _read(
    bench: Bench, name: str, images: Sequence[Image.Image], prompts: Sequence[Prompt]
) -> Read:
    """What is read of all pictures of each prompt, on average."""
    each = len(images) // len(prompts)
    found = bench.material.read(name, images, [p for p in prompts for _ in range(each)])
    return {
        key: [fmean(values[k : k + each]) for k in range(0, len(values), each)]
        for key, values in found.items()
    }


def pictures(
    bench: Bench,
    model: Model,
    prompts: Sequence[Prompt],
    scale: float = 1.0,
    each: int | None = None,
) -> list[Image.Image]:
    """Of each prompt in turn, always from the same seeds."""
    texts, steps = [prompt.text for prompt in prompts], bench.extent.drawing_steps
    number = bench.extent.each if each is None else each
    return model(texts, n=number, seed=SEED, scale=scale, steps=steps).images


def single_model(bench: Bench, way: str, name: str) -> AbstractContextManager[Model]:
    """The base with one concept."""
    concept = concept_of(bench, way, name)
    return model_with(bench, [concept], [own_adapters(concept)])


def fused_model(
    bench: Bench, way: str, rule: str, members: Members
) -> AbstractContextManager[Model]:
    """The base with a fused set."""
    concepts = [concept_of(bench, way, name) for name in members]
    return model_with(bench, concepts, [fused_adapters(bench, way, rule, members)])


@contextmanager
def model_with(
    bench: Bench, concepts: Iterable[ConceptFile], adapters: Iterable[Adapters]
) -> Iterator[Model]:
    """The base with the words of these concepts, and with these adapters, within the block."""
    model = Model(bench.base)
    try:
        for concept in concepts:
            model.add_words(concept)
        for each in adapters:
            model.add_adapters(each)
        yield model
    finally:
        model.restore()


def own_adapters(concept: ConceptFile) -> Adapters:
    """A concept's, as it was tuned."""
    return Adapters.from_tensors(concept.tensors(), concept.header.scale)


def fused_adapters(bench: Bench, way: str, rule: str, members: Members) -> Adapters:
    """Of a fused set."""
    return as_adapters(load_file(fused_path(rule, members, folder_of(way, bench.work))))


def generic_task(bench: Bench) -> Task:
    """The bare base's pictures of prompts without a concept, for drift."""
    key = {
        "generic": named(bench.material.generic),
        "device": bench.device,
        **bench.material.facts(()),
    }
    return key, draw_bare_generic, (bench,)


def draw_bare_generic(bench: Bench) -> dict[str, Any]:
    """Those pictures, kept."""
    found = draw_generic(bench.work, bench.base, bench.material.generic)
    return found | {"sha256": digest(generic_path(bench.work))}


def facts(bench: Bench, names: Sequence[str]) -> dict[str, Any]:
    """What else decides what is read: prompts, steps, device, and who reads."""
    each = {"each": bench.extent.each} if bench.extent.each > 1 else {}
    return {
        "prompts": named([chosen(bench, name) for name in names]),
        "steps": bench.extent.drawing_steps,
        "device": bench.device,
        **each,
        **bench.material.facts(names),
    }
