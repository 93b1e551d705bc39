"""How much of a study on somebody's pictures: as toyworld's, as far as there are concepts for it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmarks.study.bench import Extent
from benchmarks.study.extents import FUSED, SLICE
from benchmarks.study.material import Concept

SIZES = {2: 4, 4: 4, 8: 2, 16: 1}
"""Concepts in a set, and how many disjoint sets of that size at most."""

MOST_OF_SUBSET = 12
LAYOUTS = 12


def extent_of(
    concepts: Mapping[str, Concept], rivals: frozenset[str], each: int, steps: int
) -> Extent:
    """All concepts, in sets of 2, 4, 8 and 16, and all together."""
    return Extent(
        names=tuple(concepts),
        subset=spread(concepts),
        sets=sets_of(list(concepts), rivals),
        rules=FUSED,
        layouts=LAYOUTS,
        drawing_steps=steps,
        each=each,
    )


def tiny(concepts: Mapping[str, Concept], rivals: frozenset[str]) -> Extent:
    """A slice, to see that all of it runs with this base and these encoders."""
    names = tuple(concepts)
    sets = {2: sets_of(list(concepts), rivals)[2][:1]}
    return replace(SLICE, names=names, subset=names[:1], sets=sets)


def spread(concepts: Mapping[str, Concept], most: int = MOST_OF_SUBSET) -> tuple[str, ...]:
    """At most so many of them, of all groups in turn."""
    groups: dict[str, list[str]] = {}
    for name, concept in concepts.items():
        groups.setdefault(concept.group, []).append(name)
    longest = max(len(names) for names in groups.values())
    turns = [names[k] for k in range(longest) for names in groups.values() if k < len(names)]
    return tuple(turns[:most])


def sets_of(names: Sequence[str], rivals: frozenset[str]) -> dict[int, list[tuple[str, ...]]]:
    """Disjoint sets of every size, half of each of one class as far as they reach; then everybody."""
    found = {size: _sets(names, rivals, size, most) for size, most in SIZES.items()}
    found = {size: members for size, members in found.items() if members}
    if len(names) not in found:
        found[len(names)] = [tuple(names)]
    return found


def _sets(
    names: Sequence[str], rivals: frozenset[str], size: int, most: int
) -> list[tuple[str, ...]]:
    alike = [name for name in names if name in rivals]
    others = [name for name in names if name not in rivals]
    found: list[tuple[str, ...]] = []
    while len(alike) + len(others) >= size and len(found) < most:
        wanted = size if size == min(SIZES) else size // 2
        first = [alike.pop(0) for _ in range(min(wanted, len(alike)))]
        rest = [others.pop(0) for _ in range(min(size - len(first), len(others)))]
        first += [alike.pop(0) for _ in range(size - len(first) - len(rest))]
        found.append((*first, *rest))
    return found
