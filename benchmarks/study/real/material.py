"""A study's material out of folders of pictures, judged by CLIP and, if somebody wants, another encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from benchmarks.study.material import Prompt, Read
from benchmarks.study.real.folders import Folder, read_folders, rivals_of
from benchmarks.study.real.prompts import TYPES, generic, prompts_of
from benchmarks.study.tuning import pictures_of
from fedshow.errors import InvalidInput
from fedshow.evaluation.features import AT_ONCE, scorer_key
from fedshow.scoring.alignment import image_alignment, text_alignment
from fedshow.scoring.encoders import open_encoder
from fedshow.scoring.scorers import Scorer
from fedshow_client.tuning.data.folder import scan


@dataclass(frozen=True)
class Pictures:
    """As `material.Material`."""

    folder: Path
    """Of folders `GROUP/CLASS/NAME`."""

    base: str
    text_encoder: Path
    """A CLIP model's folder."""

    identity_encoder: Path
    """Of CLIP, DINOv2 or ArcFace."""

    device: str
    types = TYPES

    @cached_property
    def concepts(self) -> Mapping[str, Folder]:
        """All of them by name."""
        return read_folders(self.folder)

    @property
    def rivals(self) -> frozenset[str]:
        """Those of the class that most have."""
        return rivals_of(self.concepts)

    @property
    def generic(self) -> tuple[str, ...]:
        """Prompts that name the classes alone."""
        return generic(sorted({one.class_word for one in self.concepts.values()}))

    def prompts_of(self, name: str) -> tuple[Prompt, ...]:
        """The twenty prompts of a concept."""
        return prompts_of(name, self.concepts[name].group)

    def images(self, name: str) -> Path:
        """The folder of its pictures."""
        return self.concepts[name].path

    @property
    def judge(self) -> Scorer:
        """Who tells concepts apart."""
        return _opened(self.identity_encoder, self.device)

    @property
    def reader(self) -> Scorer:
        """Who reads texts."""
        return _opened(self.text_encoder, self.device)

    def known(self, name: str) -> Tensor:
        """`[M, D]` of a concept's own pictures, as its judge sees them."""
        return _known(self.images(name), self.identity_encoder, self.device)

    def read(self, name: str, images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> Read:
        """Cosine to the concept's own pictures, and to the prompt with its class word."""
        classes, texts = {name: self.concepts[name].class_word}, [p.text for p in prompts]
        identity, text = [], []
        for k in range(0, len(images), AT_ONCE):
            some, said = images[k : k + AT_ONCE], texts[k : k + AT_ONCE]
            identity += image_alignment(self.judge.features(some), self.known(name)).tolist()
            text += _certain(text_alignment(self.reader, some, said, classes)).tolist()
        return {"identity": identity, "text": text}

    def facts(self, names: Sequence[str]) -> Mapping[str, Any]:
        """The base, who judges, and against which pictures."""
        return {
            "base": self.base,
            "judges": [
                _key(path, self.device) for path in (self.text_encoder, self.identity_encoder)
            ],
            "known": [pictures_of(self.images(name)) for name in names],
        }

    def check(self) -> None:
        """Raises InvalidInput for pictures and encoders with which no study can be made."""
        for name in self.concepts:
            self.known(name)
        if self.reader.text_scores([Image.new("RGB", (8, 8))], ["a photo"]) is None:
            raise InvalidInput(
                f"encoder {self.text_encoder}: {self.reader.name} reads no texts; name a CLIP folder"
            )


def _certain(scores: Tensor | None) -> Tensor:
    assert scores is not None, "`check` has seen that the reader reads"
    return scores


@cache
def _opened(path: Path, device: str) -> Scorer:
    return open_encoder(path, torch.device(device))


@cache
def _key(path: Path, device: str) -> str:
    return scorer_key(_opened(path, device), path)[:16]


@cache
def _known(images: Path, encoder: Path, device: str) -> Tensor:
    """Of what tuning learns from, one picture in memory at a time: they may be large."""
    scorer = _opened(encoder, device)
    return torch.cat([scorer.features([image.load()]) for image in scan(images).accepted])
