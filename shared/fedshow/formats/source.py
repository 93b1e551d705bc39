"""What can be exported: a concept file, a release folder, or a base."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedshow.concepts import ConceptFile, read_concept
from fedshow.concepts.keys import is_token_key
from fedshow.documents import read_json
from fedshow.errors import Damaged, InvalidInput
from fedshow.formats.about import About, Taught
from fedshow.formats.content import Content, low_ranks
from fedshow.given import Kind, kind_of
from fedshow.releases.file_names import CONCEPTS, FUSED, MANIFEST
from fedshow.releases.loading import check_sizes, read_fused
from fedshow.releases.manifest import Manifest


@dataclass(frozen=True)
class Source:
    """A path, or the name of a base, with what is known of it."""

    name: str
    base: str | None = None
    """The base of a concept file, where whole weights are wanted."""

    @property
    def path(self) -> Path:
        """Where it lies, unless it is embedded or on the hub."""
        return Path(self.name)

    @cached_property
    def kind(self) -> Kind:
        """Which of them it is; a release whole or its LoRA alone."""
        return kind_of(self.path)

    @cached_property
    def content(self) -> Content:
        """Adapters and words.

        Raises InvalidInput for what is no concept and no release, RefusedConcept or Damaged for one that is
        not right.
        """
        if self.kind == "concept":
            return _of_concept(read_concept(self.path))
        if self.kind == "release":
            return _of_release(self.path)
        raise InvalidInput(
            f"{self.name!r} is no concept file and no release folder: nothing in it was taught"
        )

    @property
    def has_content(self) -> bool:
        """Whether it is a concept or a release, no bare base."""
        return self.kind != "base"

    @cached_property
    def merged(self) -> tuple[Any, About]:
        """The stock pipeline with the adapters in its weights, in single precision, and what it is.

        The words are not in its vocabulary, or stand after the base's own.
        """
        from fedshow.families.opening import load_pipeline, open_base

        if self.kind == "release":
            if not (self.path / MANIFEST).is_file():
                raise InvalidInput(
                    f"{self.name}: only its LoRA is here, and no weights to merge into"
                )
            check_sizes(self.path, Manifest.read(self.path))
            return load_pipeline(str(self.path), "cpu", torch.float32), self.content.about
        if not self.has_content:
            base = open_base(self.name)
            card = base.card
            return base.pipeline, About(
                family=card.family, base=card.ref, slots=card.slots, concepts=()
            )
        opened = open_base(self.base or self.content.about.base.name)
        read_concept(self.path, opened.card)
        for layer, pair in self.content.layers.items():
            opened.layers[layer].weight.data += pair.delta().float()
        return opened.pipeline, self.content.about


def _of_concept(concept: ConceptFile) -> Content:
    header, tensors = concept.header, concept.tensors()
    taught = Taught(name=header.name, class_word=header.class_word, words=header.words)
    about = About(family=header.family, base=header.base, slots=header.slots, concepts=(taught,))
    return Content(about, dict(low_ranks(tensors, header.scale)), _tokens(tensors))


def _of_release(folder: Path) -> Content:
    concepts, tensors = read_fused(folder / FUSED)
    classes = _classes(folder / CONCEPTS)
    try:
        about = About.model_validate(
            {
                **{key: _said(folder)[key] for key in ("family", "base", "slots", "release")},
                "concepts": [
                    {"name": name, "class": classes[name], "words": list(words)}
                    for name, words in concepts.items()
                ],
            }
        )
    except (KeyError, ValueError) as error:
        raise Damaged(f"{folder / FUSED}: {error!s:.200}") from error
    return Content(about, dict(low_ranks(tensors, 1.0)), _tokens(tensors))


def _said(folder: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(folder / FUSED, "pt") as opened:
        found: dict[str, Any] = read_json(opened.metadata()["fedshow"])
    return found


def _classes(file: Path) -> dict[str, str]:
    try:
        return {str(one["name"]): str(one["class"]) for one in read_json(file.read_bytes())}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{file}: {error!s:.200}") from error


def _tokens(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in tensors.items() if is_token_key(key)}
