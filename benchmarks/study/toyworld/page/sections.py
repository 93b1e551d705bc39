"""The sections of the page that toyworld alone has: who judges, regions, failures."""

from collections.abc import Mapping
from typing import Any

from benchmarks.study.pages.cells import number, share, table
from benchmarks.study.pages.sections import losers
from benchmarks.study.tables import apart

Found = Mapping[str, Any]


def encoders(found: Found) -> str:
    """Who measures what, and how well."""
    rows = [
        [label, *(share(found[name][key]) for key in ("top1", "own", "other"))]
        for name, label in (
            ("toyworld_characters", "characters, by toyworld's encoder"),
            ("own_others", "objects and scenes, by the study's own"),
            ("toyworld_others", "objects and scenes, by toyworld's (not used)"),
        )
    ]
    legible = [
        [group, *(share(read.get(a)) for a in ("place", "kind", "colour", "accessory"))]
        for group, read in found["legible"].items()
    ]
    return "\n\n".join(
        [
            table(
                [
                    "fresh drawings",
                    "nearest to their own",
                    "cosine to their own",
                    "to the nearest other",
                ],
                rows,
            ),
            "What is read right in fresh drawings with a concept of each group (in scenes by the "
            "study's encoder); text alignment can be no better than this:",
            table(
                ["beside or in", "place", "kind of company", "its colour", "its accessory"], legible
            ),
        ]
    )


def regions(found: Found, names: Mapping[str, str]) -> str:
    """Q3."""
    rows = [
        [
            names[key.split()[0]],
            key.split()[1],
            *(number(row[name]) for name in ("present", "attributes", "kept", "nearest")),
            share(row["leaked"]),
        ]
        for key, row in found["rows"].items()
    ]
    head = ["way", "concepts", "all present", "attributes bound", "identity kept in the box"]
    return "\n\n".join(
        [
            table([*head, "nearest to their own", "leaked"], rows),
            _verdict_regions(found["rows"]),
        ]
    )


def _verdict_regions(rows: Found) -> str:
    counts = [key.split()[1] for key in rows if key.startswith("plain ")]
    claims = {
        "more objects are present": "present",
        "more attributes are bound": "attributes",
        "more identity is kept": "kept",
    }
    lines = []
    for text, name in claims.items():
        for way, label in (("regions", "as in the paper"), ("windows", "with windows")):
            held = [n for n in counts if apart(rows[f"{way} {n}"][name], rows[f"plain {n}"][name])]
            lines.append(
                f"- by regions {label}, {text} than from one prompt, beyond doubt: "
                f"**for {', '.join(held) if held else 'no number of'} concepts**"
            )
    return "\n".join(lines)


def failures(cases: Found, worst: list[Any]) -> str:
    """Q5."""
    pairs = [
        [
            f"{kind[5:]}, {way}",
            *(share(row[k]) for k in ("right", "exchanged", "one twice", "identity")),
        ]
        for kind, ways in cases.items()
        if kind.startswith("pair ")
        for way, row in ways.items()
    ]
    small, overlap, far = cases["small boxes"], cases["overlap"], cases["far prompts"]
    return "\n\n".join(
        [
            "**Two in one picture, from one prompt and by regions**, at the base's own size:",
            table(
                ["pair", "each in its half", "exchanged", "one of them twice", "identity"], pairs
            ),
            "**Boxes that are too small**, identity by edge in pixels:",
            table(list(small), [[share(v) for v in small.values()]]),
            "**Boxes that overlap**, identity by columns in common, of 34:",
            table(list(overlap), [[share(v) for v in overlap.values()]]),
            f"**Prompts far from training**, of words that the base never read: identity "
            f"{share(far['far'])}, {share(far['near'])} with words that it knows.",
            "**Many concepts**: those that lose most in the largest fusion:",
            losers(worst),
        ]
    )
