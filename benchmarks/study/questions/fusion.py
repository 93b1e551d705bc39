"""Q2: sets of 2 to 16 concepts, half of one class: identity before and after every fusion rule."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.fusing.drawing import generic_path
from benchmarks.study import tables
from benchmarks.study.bench import Bench
from benchmarks.study.drawing import Fusion, Members, fused_task, generic_task, single_task
from benchmarks.study.fusing import fuse_ways
from benchmarks.study.questions import lost
from benchmarks.study.questions.experiments import RULE
from benchmarks.study.tables import Value
from benchmarks.study.tuning import tune_all
from benchmarks.study.ways import LORA, OURS

LORA_RULES = ("gradient", "average")
"""Rules by which LoRA's concepts are fused, for the paper's comparison."""

Row = tuple[str, list[float]]


def rules_of(bench: Bench, way: str) -> tuple[str, ...]:
    """By which rules the concepts of a way are fused."""
    return bench.extent.rules if way == OURS else LORA_RULES


def measure(bench: Bench) -> dict[str, Any]:
    """Identity kept, text alignment and drift by way, rule and number of concepts."""
    names = dict.fromkeys(n for members in all_sets(bench) for n in members)
    tune_all(bench, [(way, name) for way in (OURS, LORA) for name in names])
    fuse_ways(bench, [(way, all_sets(bench), rules_of(bench, way)) for way in (OURS, LORA)])
    single, fused = draw_singles(bench, list(names)), draw(bench)
    rows = {
        f"{way} {rule}": {
            "sizes": {n: _of_size(bench, single, fused, way, rule, n) for n in bench.extent.sets},
            "overall": _overall(single, fused, way, rule),
        }
        for way in (OURS, LORA)
        for rule in rules_of(bench, way)
    }
    return {
        "rows": rows,
        "sets": {size: list(members) for size, members in bench.extent.sets.items()},
        "lost": _lost(bench, single, fused),
        "raw": raw(single, fused),
    }


def _lost(bench: Bench, single: Any, fused: Any) -> dict[str, Any]:
    ours = {
        members: found["concepts"]
        for (way, rule, members), found in fused.items()
        if (way, rule) == (OURS, RULE)
    }
    alone = {name: found for (way, name), found in single.items() if way == OURS}
    return lost.measure(bench, alone, ours)


def all_sets(bench: Bench) -> list[Members]:
    """Every set of every size."""
    return [members for found in bench.extent.sets.values() for members in found]


def draw_singles(bench: Bench, names: Sequence[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """Every concept before it is fused."""
    pairs = [(way, name) for way in (OURS, LORA) for name in names]
    return dict(zip(pairs, bench.do([single_task(bench, *p) for p in pairs]), strict=True))


def draw(bench: Bench) -> dict[Fusion, dict[str, Any]]:
    """Every set out of every fusion; drift for the first set of each size."""
    if bench.extent.drift:
        bench.do([generic_task(bench)], [generic_path(bench.work)])
    keys = [
        (way, rule, members)
        for way in (OURS, LORA)
        for rule in rules_of(bench, way)
        for members in all_sets(bench)
    ]
    firsts = {found[0] for found in bench.extent.sets.values()}
    tasks = [fused_task(bench, *key, drift=bench.extent.drift and key[2] in firsts) for key in keys]
    return dict(zip(keys, bench.do(tasks), strict=True))


def _rows(single: Any, fused: Any, way: str, rule: str, size: int | None = None) -> list[Any]:
    """Concept, its reading before, its reading after, for every set (of one size)."""
    return [
        (name, single[way, name], after)
        for (w, r, members), found in fused.items()
        if (w, r) == (way, rule) and size in (None, len(members))
        for name, after in found["concepts"].items()
    ]


def _of_size(
    bench: Bench, single: Any, fused: Any, way: str, rule: str, size: int
) -> dict[str, Any]:
    rows = _rows(single, fused, way, rule, size)
    before, after = ([row[k] for row in rows] for k in (1, 2))
    first = bench.extent.sets[size][0]
    return {
        "kept": tables.kept(tables.identity(after), tables.identity(before)),
        "identity": tables.mean(tables.identity(after)),
        "before": tables.mean(tables.identity(before)),
        "text": tables.mean(tables.text(after)),
        "text_before": tables.mean(tables.text(before)),
        "drift": fused[way, rule, first]["drift"],
        "one_class": _kept([row for row in rows if row[0] in bench.material.rivals]),
        "others": _kept([row for row in rows if row[0] not in bench.material.rivals]),
    }


def _kept(rows: list[Any]) -> Value | None:
    if not rows:
        return None
    before, after = (tables.identity(row[k] for row in rows) for k in (1, 2))
    return tables.kept(after, before)


def _overall(single: Any, fused: Any, way: str, rule: str) -> dict[str, Value]:
    """Over all sizes: each concept counts once, with the mean of its sets."""
    rows = _rows(single, fused, way, rule)
    found: dict[str, Value] = {}
    for name, of in (("kept", tables.identity), ("text_kept", tables.text)):
        before, after = (
            tables.by_concept([(row[0], of([row[k]])[0].tolist()) for row in rows]) for k in (1, 2)
        )
        found[name] = tables.kept(_table(after), _table(before))
    return found


def _table(rows: dict[str, list[float]]) -> tables.Scores:
    return np.array(list(rows.values()))


def raw(single: Any, fused: Any) -> list[dict[str, Any]]:
    """Identity of every concept in every fusion, and before."""
    return [
        {
            "way": way,
            "rule": rule,
            "size": len(members),
            "concept": name,
            "identity": float(tables.identity([after]).mean()),
            "before": float(tables.identity([single[way, name]]).mean()),
            "text": float(tables.text([after]).mean()),
        }
        for (way, rule, members), found in fused.items()
        for name, after in found["concepts"].items()
    ]


def figures(found: dict[str, Any]) -> dict[str, Any]:
    """What the bars are about: identity kept over all sizes."""
    wanted = {
        "kept_ed_lora_gradient": "ed-lora gradient",
        "kept_ed_lora_average": "ed-lora average",
        "kept_lora_average": "lora average",
        "kept_lora_gradient": "lora gradient",
    }
    rows = {name: found["rows"][row]["overall"]["kept"] for name, row in wanted.items()}
    return {
        **{name: row["value"] for name, row in rows.items()},
        "intervals": rows,
        "order_holds": tables.apart(rows["kept_ed_lora_gradient"], rows["kept_ed_lora_average"])
        and tables.apart(rows["kept_ed_lora_average"], rows["kept_lora_average"]),
    }


def worst(raw: Sequence[Mapping[str, Any]], count: int = 4) -> list[Any]:
    """The concepts that lose most by being fused with most others."""
    most = max(one["size"] for one in raw)
    rows = [r for r in raw if (r["way"], r["rule"], r["size"]) == (OURS, RULE, most)]
    return sorted(rows, key=lambda row: row["identity"] / max(row["before"], 0.05))[:count]
