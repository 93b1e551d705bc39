"""Fusing concept files into a release folder, without any server running."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fedshow.concepts import ConceptFile, read_concept
from fedshow.edlora.adapters import Adapter, Adapters
from fedshow.errors import InvalidInput
from fedshow.families import open_base
from fedshow.releases.manifest import Manifest, Member
from fedshow.releases.writing import ReleaseContent, write_release
from fedshow_server.fusion.fuse import Fused, fuse
from fedshow_server.fusion.layer import Update

SETTINGS_VERSION = 1
"""Raised whenever the same concepts would give another fusion, so that release ids differ."""


def fuse_to_folder(
    base: str,
    concepts: Sequence[Path],
    out: Path,
    *,
    method: str = "gradient",
    weights: Mapping[str, float] | None = None,
    device: str = "cpu",
    say: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Writes the release of these concept files to `out`, load-tested, whole or not at all.

    Raises InvalidInput (also RefusedConcept, BaseMismatch) before anything is computed.
    """
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInput(f"{out} is not an empty folder")
    opened = open_base(base, device)
    files = [read_concept(path, opened.card) for path in concepts]
    fused = fuse(opened, files, method, weights, say)
    building = out.with_name(f".{out.name}.fusing")
    shutil.rmtree(building, ignore_errors=True)
    manifest = write_release(building, opened, content_of(files, fused, method, weights or {}))
    if out.exists():
        out.rmdir()
    building.rename(out)
    return manifest


def content_of(
    concepts: Sequence[ConceptFile], fused: Fused, method: str, weights: Mapping[str, float]
) -> ReleaseContent:
    """What a release of these concepts consists of."""
    tokens: dict[str, Tensor] = {}
    for concept in concepts:
        tensors = concept.tensors()
        tokens |= {word: tensors[f"tokens.{word}"].float() for word in concept.header.words}
    members = tuple(
        Member(name=c.header.name, sha256=c.sha256, weight=weights.get(c.header.name, 1.0))
        for c in sorted(concepts, key=lambda c: c.header.name)
    )
    return ReleaseContent(
        headers=[concept.header for concept in concepts],
        members=members,
        fusion={"method": method, "version": SETTINGS_VERSION},
        adapters=as_adapters(fused.updates),
        tokens=tokens,
        report=fused.report,
    )


def as_adapters(updates: Mapping[str, Update]) -> Adapters:
    """The fused updates as adapters, both factors of each equally large so that halves keep precision."""
    return Adapters({layer: _balanced(update) for layer, update in updates.items()}, scale=1.0)


def _balanced(update: Update) -> Adapter:
    up, down = update.up_ON.norm(dim=0), update.down_NI.norm(dim=1)
    ratio = torch.where((up > 0) & (down > 0), (up / down).sqrt(), torch.ones_like(up))
    return Adapter((update.down_NI * ratio[:, None]).float(), (update.up_ON / ratio).float())
