"""What studies of all materials have in common: rules, and a slice that shows that every line runs."""

from benchmarks.fusing.judging import REFINED, RULES
from benchmarks.study.bench import Extent
from fedshow_server.fusion.recording import Plan

FUSED = tuple(rule for rule in RULES if rule != REFINED)
"""Every rule that fuses what any method tuned."""

SLICE = Extent(
    names=(),
    subset=(),
    sets={},
    rules=("gradient", "average"),
    recipe={"steps": 1, "variants": 1},
    plan=Plan(fit_seeds=(0,), steps=1, fit_prompts=1, texts=1, things=1),
    layouts=1,
    drawing_steps=1,
    prompts=4,
)
"""Of nobody yet."""
