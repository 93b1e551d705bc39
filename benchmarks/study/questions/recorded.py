"""Why larger sets keep less: what a fusion is recorded with, against what it is asked for.

A server draws a concept by itself in a few places. Identity is lost where prompts ask for more than
that, as company and accessories do; so here the same sets are fused once more, recorded with such prompts.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.study import tables
from benchmarks.study.bench import Bench
from benchmarks.study.drawing import Members, chosen, fused_task
from benchmarks.study.fusing import fuse_sets
from benchmarks.study.prompts import TYPES
from benchmarks.study.tables import Read, Value
from benchmarks.study.ways import OURS
from fedshow_server.fusion.recording import Drawn, Plan

RULE = "gradient"
MOST = 8
"""Concepts in the sets that are fused once more."""

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

Found = Mapping[str, Read]
"""What was read, by concept."""


@dataclass(frozen=True)
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


def measure(bench: Bench, single: Found, fused: Mapping[Members, Found]) -> dict[str, Any]:
    """What is kept by type of prompt: of every size as shipped, of one size recorded wider.

    `single` has every concept by itself, `fused` every set out of its fusion by our rule.
    """
    size = max(n for n in bench.extent.sets if n <= MOST)
    wider = draw_wider(bench, bench.extent.sets[size])
    return {
        "size": size,
        "shipped": {
            n: by_type(bench, single, {members: fused[members] for members in sets})
            for n, sets in bench.extent.sets.items()
        },
        "wider": by_type(bench, single, wider),
    }


def draw_wider(bench: Bench, sets: Sequence[Members]) -> dict[Members, Found]:
    """The sets fused from the wider recording, in a folder of its own, and drawn."""
    other = replace(
        bench,
        work=bench.work / "wider",
        extent=replace(bench.extent, plan=_wider(bench.extent.plan), drift=False),
    )
    for part in ("people", "eye", f"{OURS}/concepts"):
        shutil.copytree(bench.work / part, other.work / part, dirs_exist_ok=True)
    fuse_sets(other, OURS, sets, [RULE])
    read = other.do([fused_task(other, OURS, RULE, members, drift=False) for members in sets])
    return {members: one["concepts"] for members, one in zip(sets, read, strict=True)}


def _wider(plan: Plan) -> Wider:
    return Wider(**{name: getattr(plan, name) for name in plan.__dataclass_fields__})


def by_type(bench: Bench, single: Found, fused: Mapping[Members, Found]) -> dict[str, Value]:
    """What is kept of identity with prompts of each type, and with all."""
    rows = [
        (name, single[name], after) for found in fused.values() for name, after in found.items()
    ]
    before, after = (tables.identity(row[k] for row in rows) for k in (1, 2))
    types = [prompt.type for prompt in chosen(bench, rows[0][0])]
    found = {"all": tables.kept(after, before)}
    for kind in TYPES:
        if columns := [k for k, other in enumerate(types) if other == kind]:
            found[kind] = tables.kept(after[:, columns], before[:, columns])
    return found
