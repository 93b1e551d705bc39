"""How much the study measures: all of it, minutes of it for a regression gate, seconds of it for tests."""

from benchmarks.fusing.judging import REFINED, RULES
from benchmarks.study.bench import Extent
from benchmarks.study.concepts import CONCEPTS, SIZES, SUBSET, sets
from fedshow_server.fusion.recording import Plan

FUSED = tuple(rule for rule in RULES if rule != REFINED)
"""Every rule that fuses what any method tuned."""

FULL = Extent(
    names=tuple(CONCEPTS),
    subset=tuple(SUBSET),
    sets={size: sets(size) for size in SIZES},
    rules=FUSED,
)
_FEW = ("bolt", "volt", "pip", "ball", "sunset")
_LITTLE = Plan(fit_seeds=(0,), steps=4, fit_prompts=2)
QUICK = Extent(
    names=_FEW,
    subset=("bolt", "ball", "sunset", "pip"),
    sets={2: [("bolt", "volt")], 4: [("bolt", "volt", "pip", "ball")]},
    rules=("gradient", "average"),
    recipe={"steps": 120},
    plan=_LITTLE,
    layouts=3,
    eye=(600, 200),
    drawing_steps=10,
    prompts=10,
)
TINY = Extent(
    names=("bolt", "ball"),
    subset=("bolt",),
    sets={2: [("bolt", "volt")]},
    rules=("gradient", "average"),
    recipe={"steps": 1, "variants": 1},
    plan=Plan(fit_seeds=(0,), steps=1, fit_prompts=1, texts=1, things=1),
    layouts=1,
    eye=(20, 2),
    drawing_steps=1,
    drift=False,
    release="average",
    prompts=4,
)
EXTENTS = {"full": FULL, "quick": QUICK, "tiny": TINY}
