"""Writing a release: a plain diffusers folder that stock tools load, and everything needed to check it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedshow import __version__
from fedshow.concepts import ConceptHeader
from fedshow.families import Base
from fedshow.families.locating import INDEX
from fedshow.families.opening import load_pipeline
from fedshow.families.text_encoder import TextEncoder
from fedshow.files import write_atomically
from fedshow.releases.card import model_card
from fedshow.releases.contents import PIPELINE, STANDALONE
from fedshow.releases.file_names import CONCEPTS, FUSED, MANIFEST, REPORT
from fedshow.releases.loading import load_release
from fedshow.releases.manifest import Manifest, Member, list_files, release_id
from fedshow.releases.updates import deltas


@dataclass(frozen=True)
class ReleaseContent:
    """What is fused into a release and where it came from."""

    headers: Sequence[ConceptHeader]
    members: tuple[Member, ...]
    fusion: dict[str, str | int | float | bool]
    update: Mapping[str, Tensor]
    """Key to tensor as `fedshow.releases.updates` says."""

    tokens: Mapping[str, Tensor]
    """Key of a word as in concept files, `tokens.<word>` or `tokens_2.<word>`, to its `[slots, dim]` rows."""

    report: Mapping[str, Any]
    pictures: Mapping[str, bytes]
    """PNGs that show the report, by file name."""


def write_release(folder: Path, base: Base, content: ReleaseContent) -> Manifest:
    """Writes every file of a release to `folder`, the manifest last, and draws each concept from it once.

    The base in memory is left as it was.
    """
    folder.mkdir(parents=True)
    release = release_id(base.card.ref, content.members, content.fusion)
    _save_pipeline(folder, base, content)
    _save_fused(folder, release, base, content)
    _save_texts(folder, release, base, content)
    files, pieces = list_files(folder)
    manifest = Manifest(
        release=release,
        created=datetime.now(UTC).replace(microsecond=0),
        base=base.card.ref,
        family=base.card.family,
        concepts=content.members,
        fusion=content.fusion,
        files=files,
        pieces=pieces,
    )
    write_atomically(folder / MANIFEST, manifest.dump())
    _try_out(folder, content)
    return manifest


def slot_word(word: str, slot: int) -> str:
    """The tokenizer's entry for one slot of a word, as the release's own pipeline.py spells it."""
    return f"{word}|{slot}"


def _save_pipeline(folder: Path, base: Base, content: ReleaseContent) -> None:
    """A fresh copy of the base with the update merged and the words in its vocabulary."""
    pipeline = load_pipeline(base.folder, "cpu", torch.float32)
    layers = base.family.adapted_layers(base.family.components(pipeline))
    for name, delta_OI in deltas(_halves(content.update)):
        layers[name].weight.data += delta_OI.float()
    encoders = base.family.text_encoders(pipeline)
    for encoder in encoders:
        _add_words(encoder, content.tokens)
    pipeline.to(dtype=torch.float16)
    pipeline.save_pretrained(folder, safe_serialization=True)
    for encoder in encoders:
        _settle_config(folder / encoder.component / "config.json", encoder)
    index = json.loads((folder / INDEX).read_text())
    index["concepts"] = {f"<{h.name}>": list(h.words) for h in content.headers}
    index["slots"] = base.card.slots
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")
    source = resources.files("fedshow.releases") / STANDALONE[base.family.name]
    (folder / PIPELINE).write_bytes(source.read_bytes())


def _settle_config(config: Path, encoder: TextEncoder) -> None:
    """transformers would load halves as halves beside diffusers' full-precision U-Net; and, of an encoder
    that pools, take the word of the highest id for the prompt's end, which a concept's word would be.
    """
    settings = json.loads(config.read_text()) | {"dtype": "float32"}
    if encoder.pools:
        settings["eos_token_id"] = encoder.tokenizer.eos_token_id
    config.write_text(json.dumps(settings, indent=2) + "\n")


def _add_words(encoder: TextEncoder, tokens: Mapping[str, Tensor]) -> None:
    """For each word its mean row (what plain pipelines see) and one entry per slot."""
    rows = {}
    for key, row_SD in tokens.items():
        kind, _, word = key.partition(".")
        if kind == encoder.token_key:
            rows[word] = row_SD.mean(0)
            rows |= {slot_word(word, slot): row for slot, row in enumerate(row_SD)}
    tokenizer, text_encoder = encoder.tokenizer, encoder.module
    tokenizer.add_tokens(list(rows))
    text_encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table = text_encoder.get_input_embeddings().weight
    for word, row in rows.items():
        table.data[tokenizer.convert_tokens_to_ids(word)] = row.to(table)


def _save_fused(folder: Path, release: str, base: Base, content: ReleaseContent) -> None:
    from safetensors.torch import save

    halves = _halves({**content.update, **content.tokens})
    about = {
        "format": 1,
        "release": release,
        "base": base.card.ref.model_dump(),
        "family": base.card.family,
        "slots": base.card.slots,
        "concepts": {h.name: list(h.words) for h in content.headers},
        "fedshow": __version__,
    }
    write_atomically(folder / FUSED, save(halves, metadata={"fedshow": json.dumps(about)}))


def _halves(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the file holds, and the weights with it: both forms of a release draw the same."""
    return {key: tensors[key].detach().cpu().half().contiguous() for key in sorted(tensors)}


def _save_texts(folder: Path, release: str, base: Base, content: ReleaseContent) -> None:
    members = {member.name: member for member in content.members}
    concepts = [
        {
            "name": header.name,
            "class": header.class_word,
            "prompt": f"<{header.name}>",
            "words": list(header.words),
            "sha256": members[header.name].sha256,
            "weight": members[header.name].weight,
        }
        for header in sorted(content.headers, key=lambda header: header.name)
    ]
    (folder / CONCEPTS).write_text(json.dumps(concepts, indent=2) + "\n")
    (folder / REPORT).write_text(json.dumps(content.report, indent=1) + "\n")
    for name, content_png in content.pictures.items():
        (folder / name).write_bytes(content_png)
    family = base.family
    options = ", ".join(["folder", *(f"{name}=None" for name in family.left_out)])
    stock = f"{family.pipeline_class}.from_pretrained({options})"
    card = model_card(release, base.card, concepts, content.fusion, stock)
    (folder / "README.md").write_text(card)


def _try_out(folder: Path, content: ReleaseContent) -> None:
    """A release that cannot draw each of its concepts is never published."""
    model = load_release(folder)
    for header in content.headers:
        model(f"photo of a <{header.name}>", steps=1)
