"""A section of the page for each question: what was asked, the table, and whether the claim holds."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.study.pages.cells import number, table
from benchmarks.study.tables import Value, apart
from benchmarks.study.ways import LORA, OURS

Found = Mapping[str, Any]


def methods(found: Found) -> str:
    """Q1."""
    head = [
        "method",
        "identity",
        "embedding alone",
        "text",
        "ED-LoRA better by",
        "trained numbers",
        "processor seconds",
    ]
    rows = [
        [
            way,
            number(row["identity"]),
            number(row["embedding_alone"]),
            number(row["text"]),
            "–" if way == OURS else number(row["ours_better_by"], "+"),
            f"{row['parameters']:,}",
            f"{row['processor_seconds']:.0f}",
        ]
        for way, row in found["methods"].items()
    ]
    bare = found["bounds"]["class_word"]
    rows.append(
        ["untuned, class word", number(bare["identity"]), "–", number(bare["text"]), "–", "0", "–"]
    )
    groups = [
        [
            way,
            *(
                number(row["groups"].get(g, {}).get(m))
                for g in _groups(found)
                for m in ("identity", "text")
            ),
        ]
        for way, row in found["methods"].items()
    ]
    everything = [
        [way, number(row["identity"]), number(row["embedding_alone"]), number(row["text"])]
        for way, row in found["all"].items()
    ]
    return "\n\n".join(
        [
            table(head, rows),
            f"Private pictures among themselves: {found['bounds']['private_pictures']:.3f}. By group:",
            table(
                ["method", *(f"{g}: {m}" for g in _groups(found) for m in ("identity", "text"))],
                groups,
            ),
            "All concepts, by the two methods that all were tuned with:",
            table(["method", "identity", "embedding alone", "text"], everything),
            _verdict_methods(found),
            *(f"Left out: {way}. {why}." for way, why in found["left_out"].items()),
        ]
    )


def _groups(found: Found) -> list[str]:
    return list(found["methods"][OURS]["groups"])


def _verdict_methods(found: Found) -> str:
    by = found["all"][LORA]["ours_alone_better_by"]
    best = max(found["methods"], key=lambda way: found["methods"][way]["identity"]["value"])
    said = "holds" if by["low"] is not None and by["low"] > 0 else "does not hold beyond doubt"
    return (
        f"**The embedding alone holds more identity with ED-LoRA than with LoRA: {said}** "
        f"({number(by, '+')} concept by concept and prompt by prompt, all concepts). "
        f"Most identity by itself has {best}."
    )


def fusion(found: Found) -> str:
    """Q2."""
    sizes = list(next(iter(found["rows"].values()))["sizes"])
    head = [
        "method and rule",
        *(f"kept, {n}" for n in sizes),
        "kept, all sizes",
        "text kept",
        "drift, most",
    ]
    rows = [
        [
            name,
            *(number(row["sizes"][n]["kept"]) for n in sizes),
            number(row["overall"]["kept"]),
            number(row["overall"]["text_kept"]),
            _most_drift(row),
        ]
        for name, row in found["rows"].items()
    ]
    classes = [
        [name, *(number(row["sizes"][n][part]) for n in sizes for part in ("one_class", "others"))]
        for name, row in found["rows"].items()
        if name.split()[1] in ("gradient", "average")
    ]
    titles = [f"{n}: {part}" for n in sizes for part in ("one class", "others")]
    absolute = [
        [name, *(f"{number(row['sizes'][n]['identity'])}" for n in sizes)]
        for name, row in found["rows"].items()
        if name.split()[1] in ("gradient", "average")
    ]
    return "\n\n".join(
        [
            table(head, rows),
            "Identity itself, after the fusion:",
            table(["method and rule", *(f"of {n}" for n in sizes)], absolute),
            "What the concepts of one class keep, and what the others keep:",
            table(["method and rule", *titles], classes),
            verdict_fusion(found),
        ]
    )


def _most_drift(row: Found) -> str:
    found = [size["drift"] for size in row["sizes"].values() if size["drift"] is not None]
    return f"{max(found):.4f}" if found else "–"


def verdict_fusion(found: Found) -> str:
    """The paper's order of methods, against ours."""
    kept = {
        name: found["rows"][name]["overall"]["kept"]
        for name in ("ed-lora gradient", "ed-lora average", "lora average")
    }
    best, middle, least = kept.values()
    order = apart(best, middle) and apart(middle, least)
    bars = [
        ("ED-LoRA with gradient fusion keeps at least .97", _least(best, 0.97), best),
        ("ED-LoRA averaged keeps at most .93", _most(middle, 0.93), middle),
        ("LoRA averaged keeps least", apart(middle, least), least),
    ]
    lines = [
        f"- {text}: **{'holds' if holds else 'does not hold'}** ({number(v)})"
        for text, holds, v in bars
    ]
    said = "holds, and the intervals do not overlap" if order else "does not hold beyond doubt"
    return "\n".join([f"**The paper's order of methods: {said}.**", "", *lines])


def _least(value: Value, bar: float) -> bool:
    return value["value"] is not None and value["value"] >= bar


def _most(value: Value, bar: float) -> bool:
    return value["value"] is not None and value["value"] <= bar


def parts(found: Found) -> str:
    """Q4."""
    head = [
        "ED-LoRA",
        "identity",
        "embedding alone",
        "text",
        "kept fused",
        "kept averaged",
        "fused identity",
    ]
    rows = [
        [
            "whole" if way == OURS else f"without: {LABELS[way]}",
            number(row["identity"]),
            number(row["embedding_alone"]),
            number(row["text"]),
            number(row["kept"]["gradient"]),
            number(row["kept"]["average"]),
            number(row["fused"]["gradient"]),
        ]
        for way, row in found["parts"].items()
    ]
    worth = [
        [
            LABELS[way],
            number(row["loses"], "+"),
            number(row["loses_embedding_alone"], "+"),
            number(row["loses_fused"]["gradient"], "+"),
            number(row["loses_fused"]["average"], "+"),
        ]
        for way, row in found["parts"].items()
        if way != OURS
    ]
    return "\n\n".join(
        [
            table(head, rows),
            "What each part is worth: identity with it less identity without it, pair by pair:",
            table(
                [
                    "part",
                    "by itself",
                    "embedding alone",
                    "after gradient fusion",
                    "after averaging",
                ],
                worth,
            ),
        ]
    )


LABELS = {
    "single-slot": "embeddings of their own for every layer",
    "one-word": "the word that starts from noise",
    "no-attention-loss": "regularised attention",
}


def losers(worst: Sequence[Found]) -> str:
    """The concepts that lose most, as `fusion.worst` finds them."""
    rows = [
        [
            row["concept"],
            f"{row['before']:.3f}",
            f"{row['identity']:.3f}",
            f"{row['identity'] / row['before']:.2f}",
        ]
        for row in worst
    ]
    return table(["concept", "by itself", "fused", "kept"], rows)
