"""How much the study measures: all of it, or a slice that shows that every line of it runs."""

from dataclasses import replace

from benchmarks.study.bench import Extent
from benchmarks.study.extents import FUSED, SLICE
from benchmarks.study.toyworld.concepts import CONCEPTS, SIZES, SUBSET, sets

LEARNS, TINY_LEARNS = (3000, 900), (20, 2)
"""Families and steps that the study's own encoder learns from."""

FULL = Extent(
    names=tuple(CONCEPTS),
    subset=tuple(SUBSET),
    sets={size: sets(size) for size in SIZES},
    rules=FUSED,
)
TINY = replace(
    SLICE,
    names=("bolt", "ball"),
    subset=("bolt",),
    sets={2: [("bolt", "volt")]},
    drift=False,
    release="average",
)
