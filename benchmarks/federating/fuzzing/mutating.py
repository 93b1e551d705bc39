"""Valid things made odd: bytes that are flipped, cut and doubled, documents whose parts are."""

import json
from dataclasses import dataclass
from typing import Any, TypeAlias

from hypothesis import strategies as st

MOST_EDITS = 4


@dataclass(frozen=True)
class Raw:
    """JSON text, written as it is."""

    text: str


@dataclass(frozen=True)
class Pairs:
    """An object's entries; names may stand there twice."""

    entries: tuple[tuple[str, "Tree"], ...]


Tree: TypeAlias = "Raw | Pairs | tuple[Tree, ...]"

ODD = st.one_of(
    st.sampled_from(
        [
            *(
                "null",
                "true",
                "false",
                "[]",
                "{}",
                '""',
                "0",
                "-1",
                "1",
                "1.0",
                "-0.0",
                "1e2",
                "01",
            ),
            *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e-999", "1e308", "0.1", "2e0"),
            *(f"{2**31}", f"{2**32}", f"{2**53 + 1}", f"{2**63}", f"{2**64}", f"{-(2**63)}"),
            *("9" * 400, "9" * 5000, "[" * 40 + "]" * 40, "[" * 5000 + "]" * 5000),
            *('{"a":' * 200 + "1" + "}" * 200, '"\\ud800"', '"\\u0000"', '"\\u202e"', '"\\n"'),
            *('"' + "x" * 100_000 + '"', '"../../x"', '"/etc/passwd"', '"a\\\\b"', '"1"', "'x'"),
            *('"2026-01-01"', '"2026-01-01T00:00:00"', '"1700000000"', "1700000000", ""),
            *('"9999-12-31T23:59:59-23:59"', '"0001-01-01T00:00:00+23:59"'),
        ]
    ).map(Raw),
    st.one_of(st.text(max_size=20), st.integers(), st.floats()).map(lambda it: Raw(json.dumps(it))),
)
NAMES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["__metadata__", "fedshow", "shape", "a", "constructor", "\x00", "\u202e", ""]),
)


@st.composite
def odd_bytes(draw: st.DrawFn, *valid: bytes) -> bytes:
    """One of `valid` with a few bytes changed, taken out or put in."""
    content = draw(st.sampled_from(valid))
    for _ in range(draw(st.integers(1, MOST_EDITS))):
        content = _edited(draw, content)
    return content


def _edited(draw: st.DrawFn, content: bytes) -> bytes:
    at = draw(st.integers(0, len(content)))
    until = min(len(content), at + draw(st.integers(1, 16)))
    kind = draw(st.sampled_from(["flip", "put", "take", "double", "cut", "lengthen", "replace"]))
    if kind == "flip" and at < len(content):
        flipped = content[at] ^ (1 << draw(st.integers(0, 7)))
        return content[:at] + bytes((flipped,)) + content[at + 1 :]
    if kind == "take":
        return content[:at] + content[until:]
    if kind == "double":
        return content[:until] + content[at:]
    if kind == "cut":
        return content[:at]
    if kind == "lengthen":
        return content + bytes(draw(st.integers(1, 64)))
    some = draw(st.binary(min_size=1, max_size=8))
    return content[:at] + some + content[at + (len(some) if kind == "replace" else 0) :]


@st.composite
def odd_documents(draw: st.DrawFn, document: Any, more: st.SearchStrategy[Raw] = ODD) -> str:
    """JSON text of `document` with a few values, names or entries changed, doubled or left out."""
    tree = planted(document)
    values = st.one_of(ODD, more)
    for _ in range(draw(st.integers(1, MOST_EDITS - 1))):
        tree = _grafted(draw, tree, values)
    return written(tree)


def planted(value: Any) -> Tree:
    """A document as a tree that can be made odd."""
    if isinstance(value, dict):
        return Pairs(tuple((name, planted(part)) for name, part in value.items()))
    if isinstance(value, list | tuple):
        return tuple(map(planted, value))
    return Raw(json.dumps(value))


def written(tree: Tree) -> str:
    """The tree as JSON text, or what looks like it."""
    if isinstance(tree, Raw):
        return tree.text
    if isinstance(tree, Pairs):
        inner = (f"{json.dumps(name)}:{written(part)}" for name, part in tree.entries)
        return f"{{{','.join(inner)}}}"
    return f"[{','.join(map(written, tree))}]"


def _grafted(draw: st.DrawFn, tree: Tree, values: st.SearchStrategy[Raw]) -> Tree:
    """The tree with one change, somewhere; the deeper, the likelier."""
    if isinstance(tree, Raw) or not _size(tree) or draw(st.integers(0, 9)) == 0:
        return draw(values)
    at = draw(st.integers(0, _size(tree) - 1))
    if isinstance(tree, Pairs):
        return Pairs(_changed(draw, tree.entries, at, values))
    part = _grafted(draw, tree[at], values)
    return draw(st.sampled_from([(*tree[:at], part, *tree[at + 1 :]), (*tree, part), tree[:at]]))


def _size(tree: Pairs | tuple[Tree, ...]) -> int:
    return len(tree.entries if isinstance(tree, Pairs) else tree)


def _changed(
    draw: st.DrawFn, entries: tuple[tuple[str, Tree], ...], at: int, values: st.SearchStrategy[Raw]
) -> tuple[tuple[str, Tree], ...]:
    (name, part), before, after = entries[at], entries[:at], entries[at + 1 :]
    kind = draw(
        st.sampled_from(["deeper"] * 6 + ["twice", "again", "rename", "drop", "more", "turn"])
    )
    if kind == "twice":
        return (*before, (name, draw(values)), *after, (name, part))
    if kind == "again":
        return (*entries, (name, part))
    if kind == "rename":
        return (*before, (draw(NAMES), part), *after)
    if kind == "drop":
        return (*before, *after)
    if kind == "more":
        return (*entries, (draw(NAMES), draw(values)))
    if kind == "turn":
        return entries[::-1]
    return (*before, (name, _grafted(draw, part, values)), *after)
