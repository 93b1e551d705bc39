"""A release folder as nodes need it: every byte that is read is checked against the manifest first.

Shapes: S slots, D width of a text encoder.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors.torch import load
from torch import Tensor

MANIFEST, FUSED, CONCEPTS = "manifest.json", "fused.safetensors", "concepts.json"
FORMAT = 1
FAMILIES = {"sd1": {"l": "tokens."}, "sdxl": {"l": "tokens.", "g": "tokens_2."}}
"""Family to its text encoders, as ComfyUI calls them, each with what keys of its words begin with."""


class RefusedRelease(ValueError):
    """Raised for a folder that is no whole release, or one for another kind of model."""


@dataclass(frozen=True)
class Release:
    """What a release adds to its base."""

    release: str
    base: str
    slots: int
    concepts: dict[str, tuple[str, ...]]
    """Name, as in `<name>`, to its words."""

    classes: dict[str, str]
    """Name to the kind of thing it is."""

    rows: dict[str, dict[str, Tensor]]
    """Text encoder to word to its vectors `[S, D]`, one for each slot."""

    update: dict[str, Tensor]
    """The fused adapters, keys as in the file."""


def read_release(folder: Path) -> Release:
    """The release in `folder`; raises RefusedRelease naming what is missing, changed or not for here."""
    manifest = _manifest(folder)
    if manifest["family"] not in FAMILIES:
        raise RefusedRelease(
            f"{folder}: family {manifest['family']!r}, these nodes know {', '.join(FAMILIES)}"
        )
    fused, listed = (_verified(folder, manifest, name) for name in (FUSED, CONCEPTS))
    try:
        about = json.loads(_metadata(fused)["fedshow"])
        tensors = load(fused)
        concepts = {name: tuple(words) for name, words in about["concepts"].items()}
        begins = FAMILIES[manifest["family"]]
        rows = {
            encoder: {
                word: tensors[begin + word].float() for words in concepts.values() for word in words
            }
            for encoder, begin in begins.items()
        }
        classes = {one["name"]: one["class"] for one in json.loads(listed)}
        release = Release(
            manifest["release"],
            about["base"]["name"],
            about["slots"],
            concepts,
            {name: classes[name] for name in concepts},
            rows,
            {key: x for key, x in tensors.items() if not key.startswith(tuple(begins.values()))},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RefusedRelease(f"{folder / FUSED}: {error!r:.200}") from error
    _check(folder, release)
    return release


def manifest_digest(folder: Path) -> str:
    """What tells one release from another, without reading its weights."""
    return sha256(_bytes(folder / MANIFEST)).hexdigest()


def _manifest(folder: Path) -> dict[str, Any]:
    """The manifest as far as it is used; raises RefusedRelease."""
    file = folder / MANIFEST
    try:
        found: dict[str, Any] = json.loads(_bytes(file))
        told = [found[key] for key in ("release", "family")]
        told += [found["files"][name]["sha256"] for name in (FUSED, CONCEPTS)]
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedRelease(f"{file} is no manifest of a release: {error!r:.200}") from error
    if found.get("format") != FORMAT:
        raise RefusedRelease(f"{file}: format {found.get('format')!r}, these nodes know {FORMAT}")
    if not all(isinstance(one, str) for one in told):
        raise RefusedRelease(f"{file}: release, family and digests must be text")
    return found


def _verified(folder: Path, manifest: dict[str, Any], name: str) -> bytes:
    """The very bytes that the manifest promises."""
    content = _bytes(folder / name)
    promised, found = manifest["files"][name]["sha256"], sha256(content).hexdigest()
    if found != promised:
        raise RefusedRelease(
            f"{folder / name}: sha256 {found[:12]}…, must be {promised[:12]}…: pull the release again"
        )
    return content


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise RefusedRelease(f"{file}: {error.strerror}: choose a release folder") from error


def _metadata(content: bytes) -> dict[str, str]:
    """What a safetensors file says about itself."""
    length = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return found


def _check(folder: Path, release: Release) -> None:
    words = [pair for rows in release.rows.values() for pair in rows.items()]
    for word, row_SD in words:
        if row_SD.ndim != 2 or len(row_SD) != release.slots:
            raise RefusedRelease(
                f"{folder / FUSED}: {word} is {tuple(row_SD.shape)}, must be {release.slots} rows"
            )
    for key, tensor in (*words, *release.update.items()):
        if not tensor.isfinite().all():
            raise RefusedRelease(f"{folder / FUSED}: {key} contains NaN or infinity")
