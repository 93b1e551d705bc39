"""How much the study measures: all of it, or a slice that shows that every line of it runs."""

from benchmarks.fusing.judging import REFINED, RULES
from benchmarks.study.bench import Extent
from benchmarks.study.toyworld.concepts import CONCEPTS, SIZES, SUBSET, sets
from fedshow_server.fusion.recording import Plan

LEARNS, TINY_LEARNS = (3000, 900), (20, 2)
"""Families and steps that the study's own encoder learns from."""

FUSED = tuple(rule for rule in RULES if rule != REFINED)
"""Every rule that fuses what any method tuned."""

FULL = Extent(
    names=tuple(CONCEPTS),
    subset=tuple(SUBSET),
    sets={size: sets(size) for size in SIZES},
    rules=FUSED,
)
TINY = Extent(
    names=("bolt", "ball"),
    subset=("bolt",),
    sets={2: [("bolt", "volt")]},
    rules=("gradient", "average"),
    recipe={"steps": 1, "variants": 1},
    plan=Plan(fit_seeds=(0,), steps=1, fit_prompts=1, texts=1, things=1),
    layouts=1,
    drawing_steps=1,
    drift=False,
    release="average",
    prompts=4,
)
