"""The same sets fused otherwise, each way to try one explanation of what a fusion loses.

*fewer*: texts that are only read name company and accessories of all colours; here those without are left.
*wider*: a server draws a concept by itself in a few places; here with company and accessories, too.
*cut*: the ranks of a set add up in layers of 64 to 128; here each concept is cut to its strongest rank.
*own*: the fused model with a concept's own adapters in layers of one kind: what comes back was lost there.
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.fusing.judging import fused_path
from benchmarks.study.bench import Bench, Task
from benchmarks.study.drawing import (
    Members,
    facts,
    fused_adapters,
    fused_task,
    look,
    model_with,
    own_adapters,
    single_task,
)
from benchmarks.study.fusing import fuse_sets
from benchmarks.study.material import Read
from benchmarks.study.tuning import concept_of, file_of, folder_of
from benchmarks.study.ways import OURS
from fedshow.concepts import ConceptFile, write_concept
from fedshow.edlora.adapters import Adapters
from fedshow.files import digest
from fedshow_server.fusion.prompts import PLAIN_TEXTS
from fedshow_server.fusion.recording import Drawn, Plan

RULE = "gradient"
RANK = 1
FIT = (
    *("photo of a {0}", "a {0} on the beach", "a {0} in the snow", "a {0} at night"),
    *("a {0} wearing a hat on green grass", "a {0} wearing glasses in the desert"),
    *(
        "a {0} to the left of a kitten on the beach",
        "a dragon to the left of a {0} in the snow",
    ),
)
HELDOUT = (
    *("a photo of a {0}", "a {0} in the night", "a {0} wearing a blue scarf on grass"),
    "a {0} to the left of a bunny at the beach",
)
"""As many as a server draws, half of them with accessories or company."""

KINDS = {
    "text encoder": r"^text_encoder",
    "self-attention": r"attn1\.",
    "queries": r"attn2\.to_q$",
    "keys and values": r"attn2\.to_[kv]$",
    "outputs": r"attn2\.to_out",
}
"""Layers by what they do, and how they are called."""

Found = Mapping[str, Read]
"""What was read, by concept."""


def fewer(bench: Bench, sets: Sequence[Members]) -> dict[Members, Found]:
    """The sets fused from texts without company, and drawn."""
    plan = bench.extent.plan
    return _recorded(bench, "fewer", replace(plan, texts=min(plan.texts, PLAIN_TEXTS)), sets)


def wider(bench: Bench, sets: Sequence[Members]) -> dict[Members, Found]:
    """The sets fused from the wider recording, and drawn."""
    plan = bench.extent.plan
    settings = {name: getattr(plan, name) for name in Plan.__dataclass_fields__}
    return _recorded(bench, "wider", Wider(**settings), sets)


def _recorded(bench: Bench, name: str, plan: Plan, sets: Sequence[Members]) -> dict[Members, Found]:
    other = _beside(bench, name)
    other = replace(other, extent=replace(other.extent, plan=plan))
    concepts = f"{OURS}/concepts"
    shutil.copytree(bench.work / concepts, other.work / concepts, dirs_exist_ok=True)
    return _fused(other, sets)


class Wider(Plan):
    """Records with these prompts instead of the shipped ones."""

    @property
    def fit(self) -> Drawn:
        """What is drawn and read for the fit."""
        return replace(super().fit, prompts=FIT[: self.fit_prompts])

    @property
    def heldout(self) -> Drawn:
        """The same for the choice of the regularisation."""
        return replace(super().heldout, prompts=HELDOUT)


def cut(bench: Bench, sets: Sequence[Members]) -> tuple[Found, dict[Members, Found]]:
    """The concepts of these sets cut to one rank: by themselves, and fused."""
    other = _beside(bench, f"rank-{RANK}")
    names = list(dict.fromkeys(name for members in sets for name in members))
    for name in names:
        _write_cut(concept_of(bench, OURS, name), other, name)
    single = other.do([single_task(other, OURS, name) for name in names])
    return dict(zip(names, single, strict=True)), _fused(other, sets)


def _beside(bench: Bench, name: str) -> Bench:
    """A work folder of its own, of the same material."""
    return replace(bench, work=bench.work / name, extent=replace(bench.extent, drift=False))


def _fused(bench: Bench, sets: Sequence[Members]) -> dict[Members, Found]:
    fuse_sets(bench, OURS, sets, [RULE])
    read = bench.do([fused_task(bench, OURS, RULE, members, drift=False) for members in sets])
    return {members: one["concepts"] for members, one in zip(sets, read, strict=True)}


def _write_cut(concept: ConceptFile, bench: Bench, name: str) -> None:
    header = concept.header
    changes = {"rank": RANK, "alpha": header.alpha * RANK / header.rank}
    path = file_of(OURS, name, bench.work)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_concept(path, header.model_copy(update=changes), lowered(concept.tensors(), RANK))


def lowered(tensors: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """A concept's tensors, every adapter by its best approximation of a lower rank."""
    found = {key: tensor for key, tensor in tensors.items() if ".lora_" not in key}
    for down_key in (key for key in tensors if ".lora_A" in key):
        up_key = down_key.replace(".lora_A", ".lora_B")
        down_RI, up_OR = tensors[down_key], tensors[up_key]
        left_ON, values_N, right_NI = torch.linalg.svd(up_OR.double() @ down_RI.double(), False)
        root_N = values_N[:rank].sqrt()
        found[up_key] = (left_ON[:, :rank] * root_N).to(up_OR.dtype)
        found[down_key] = (root_N[:, None] * right_NI[:rank]).to(down_RI.dtype)
    return found


def own(bench: Bench, sets: Sequence[Members]) -> dict[str, dict[Members, Found]]:
    """By kind of layer: the fused sets with each concept's own adapters there."""
    kinds = [k for k in KINDS if any(re.search(KINDS[k], name) for name in bench.base.card.layers)]
    keys = [(kind, members, name) for kind in kinds for members in sets for name in members]
    read = dict(zip(keys, bench.do([_own_task(bench, *key) for key in keys]), strict=True))
    return {
        kind: {members: {name: read[kind, members, name] for name in members} for members in sets}
        for kind in kinds
    }


def _own_task(bench: Bench, kind: str, members: Members, name: str) -> Task:
    files = fused_path(RULE, members, folder_of(OURS, bench.work)), file_of(OURS, name, bench.work)
    key = {"own": name, "kind": kind, "of": members, "files": [digest(f)[:16] for f in files]}
    return key | facts(bench, [name]), draw_own, (bench, kind, members, name)


def draw_own(bench: Bench, kind: str, members: Members, name: str) -> dict[str, Any]:
    """A concept out of a fused model with its own adapters in layers of a kind, read."""
    concept = concept_of(bench, OURS, name)
    adapters = [
        _some(fused_adapters(bench, OURS, RULE, members), kind, inside=False),
        _some(own_adapters(concept), kind, inside=True),
    ]
    with model_with(bench, [concept], adapters) as model:
        return look(bench, model, name, 1.0)


def _some(adapters: Adapters, kind: str, inside: bool) -> Adapters:
    """Those in layers of a kind, or all the others."""
    chosen = {k: a for k, a in adapters.items() if bool(re.search(KINDS[kind], k)) == inside}
    return Adapters(chosen, adapters.scale)
