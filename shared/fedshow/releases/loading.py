"""Opening a release folder to draw with it."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fedshow.documents import read_json
from fedshow.errors import Damaged, InvalidInput
from fedshow.families.opening import Base, describe_pipeline, load_pipeline
from fedshow.families.placing import Arrange, settle
from fedshow.families.telling import FAMILIES, family_of
from fedshow.families.text_encoder import TextEncoder
from fedshow.releases.file_names import FUSED
from fedshow.releases.manifest import Manifest
from fedshow.releases.updates import as_adapters
from fedshow.releases.verify import check_size
from fedshow.sampling.model import Model


def load_release(folder: Path, device: str = "cpu", arrange: Arrange = settle) -> Model:
    """The release's model with all its concepts, its base brought to the device by `arrange`.

    Raises Damaged when the folder is not whole, as far as sizes and fused weights show it;
    `verify_release` looks at every byte.
    """
    manifest = Manifest.read(folder)
    if manifest.family not in FAMILIES:
        raise InvalidInput(f"{folder}: family {manifest.family!r}, known are {', '.join(FAMILIES)}")
    check_sizes(folder, manifest)
    concepts, tensors = read_fused(folder / FUSED)
    pipeline = load_pipeline(str(folder), "cpu", torch.float32)
    family = family_of(pipeline)
    if family.name != manifest.family:
        raise Damaged(
            f"{folder}: a pipeline of family {family.name!r}, must be {manifest.family!r}"
        )
    _check_words(folder / FUSED, concepts, tensors, family.text_encoders(pipeline))
    card = describe_pipeline(manifest.base, family, pipeline)
    base = Base(pipeline, family, card, str(folder))
    arrange(base, device)
    model = Model(base)
    for name, words in concepts.items():
        model.tokens.load_concept(name, words, tensors)
    model.release = manifest.release
    model.concepts = {member.name: member.sha256 for member in manifest.concepts}
    model.merged_strength = 1.0
    model.add_adapters(as_adapters(tensors)).strength = 0.0
    return model


def _check_words(
    file: Path,
    concepts: Mapping[str, Sequence[str]],
    tensors: Mapping[str, Tensor],
    encoders: Sequence[TextEncoder],
) -> None:
    """Raises Damaged when a word has no rows for one of the text encoders."""
    for encoder, words in product(encoders, concepts.values()):
        for word in words:
            if (key := f"{encoder.token_key}.{word}") not in tensors:
                raise Damaged(f"{file}: {key} is missing")


def check_sizes(folder: Path, manifest: Manifest) -> None:
    """Raises Damaged naming a file with weights that is missing or cut short."""
    for path, entry in manifest.files.items():
        if path.endswith(".safetensors"):
            check_size(folder / path, str(folder / path), entry)


def read_fused(file: Path) -> tuple[dict[str, tuple[str, ...]], dict[str, Tensor]]:
    """Each concept's words, and every tensor by key; raises Damaged."""
    try:
        with safe_open(file, "pt") as opened:
            about: dict[str, Any] = read_json(opened.metadata()["fedshow"])
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        concepts = {name: tuple(words) for name, words in about["concepts"].items()}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise Damaged(f"{file}: {error}") from error
    for key, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise Damaged(f"{file}: {key} contains NaN or infinity")
    return concepts, tensors
